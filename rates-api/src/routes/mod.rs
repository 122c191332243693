//! What is answered at each path; the folder mirrors the paths.

pub mod batches;
pub mod healthz;
pub mod rates;
pub mod readyz;
pub mod root;

/// Asked by Kubernetes every second, to the end of the process: no traffic.
#[must_use]
pub fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}
