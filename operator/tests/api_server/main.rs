//! Tests against a real API server: what it takes and refuses, and what the operator does to it.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what helps tests fails as tests do"
)]

mod admission;
mod catching_up;
mod controlling;
mod explain;
mod ingest_token;
mod killed;
mod leaving;
mod mortal;
mod reconciling;
mod restored;
mod server;
mod stage;
