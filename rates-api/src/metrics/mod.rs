//! What the process tells of itself to Prometheus, on a port of its own.
//!
//! Requests and batches are counted where they happen ([`crate::counters`]). What has a state anyway, such as
//! connections and the drain, is looked at when somebody asks.

mod address;
mod registry;
mod server;
mod state;

pub use address::MetricsAddress;
pub use registry::Metrics;
pub use server::{MetricsServer, serve};
pub use state::Sources;
