//! What is answered at each path; the folder mirrors the paths.

pub mod batches;
pub mod docs;
pub mod healthz;
pub mod openapi;
pub mod places;
mod prefer;
pub mod rates;
mod read_problem;
pub mod readyz;
pub mod root;
