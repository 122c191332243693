//! From a fixture through the real `plan` and `build` to whole objects, and to the status:
//! no client, no cluster.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what helps tests fails as tests do"
)]

mod availability;
mod builders;
mod copies;
mod fixture;
mod ingest_token;
mod instances;
mod pinned;
mod placing;
mod progress;
mod requeue;
mod rollout;
mod sleeping;
mod templates;
mod trouble;
