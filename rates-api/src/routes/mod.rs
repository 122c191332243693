//! What is answered at each path; the folder mirrors the paths.

pub mod healthz;
pub mod rates;
pub mod readyz;
pub mod root;
