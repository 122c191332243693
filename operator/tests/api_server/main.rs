//! Tests against a real API server: what it takes and refuses, and what the operator does to it.

mod admission;
mod controlling;
mod explain;
mod reconciling;
mod server;
mod stage;
