//! What is done for batches beside requests, by every process: the sums of applied ones are folded into the sums that reads
//! use, one step at a time; and beside that orphaned rows are cleared away, and what processes of the release before left
//! is put in order.
//!
//! Each step is a short transaction that takes a row which no other process holds, so any number of processes share
//! the work, and one that dies in the middle has done nothing.

mod clear;
mod fold;
mod previous_release;
mod step;

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::metrics::BatchMetrics;
use super::settings::BatchSettings;
use crate::database::Connections;

/// Runs until it is told to stop: what it has begun then, it finishes.
pub async fn run(
    connections: Connections,
    settings: BatchSettings,
    work: Arc<Notify>,
    metrics: BatchMetrics,
    stopping: CancellationToken,
) {
    let digests = settings.ingest_token_digests_file.as_deref();
    tokio::join!(
        clear::run(&connections, settings.idempotency_hours, &stopping),
        previous_release::run(&connections, digests, &metrics, &stopping),
        fold::run(&connections, &work, &stopping)
    );
    tracing::info!("background work has stopped");
}
