//! Turns a `RatesEnvironment` into a running system.
//!
//! In reading order: what people write (`crd`), then one module a verb of the pipeline.

pub mod crd;
