//! How faults are played.

use std::time::Duration;

use serde_json::Value;

/// On what, and under which load.
#[derive(Clone, Debug)]
pub struct Play {
    /// Of the environment.
    pub spec: Value,
    pub instances: usize,
    /// Requests a second.
    pub rate: f64,
    /// Between two batches that show whether writes pass.
    pub probe_every: Duration,
}
