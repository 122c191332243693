//! What the process tells of itself to Prometheus, beside `/livez` and `/readyz`.
//!
//! Reconciles and requests are counted where they happen; what has a state is looked at when
//! somebody asks. docs/running-the-operator.md describes each.

mod process;
mod registry;
mod requests;

pub(crate) use process::Process;
pub use registry::{Metrics, Outcome};
pub use requests::CountRequests;
