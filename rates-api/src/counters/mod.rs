//! Counters, of which each is counted where it happens, at the cost of some atomics.

mod outcomes;
mod requests;

pub use outcomes::Outcomes;
pub use requests::Requests;
