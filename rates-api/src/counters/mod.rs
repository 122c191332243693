//! Counters, of which each is counted where it happens, at the cost of some atomics.

mod outcomes;
mod request_metrics;

pub use outcomes::Outcomes;
pub use request_metrics::RequestMetrics;
