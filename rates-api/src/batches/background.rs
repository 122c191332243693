//! What is done for batches beside requests, by every process, one step at a time: asynchronous batches are finished,
//! the sums of applied ones are folded into the sums that reads use, and remains are cleared away.
//!
//! Each step is a short transaction that takes a row which no other process holds, so any number of processes share
//! the work, and one that dies in the middle has done nothing.

mod clear;
mod fold;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::settings::BatchSettings;
use super::store::{self, StoreError};
use super::tally::Tally;
use super::writers::{WriterError, Writers};
use crate::report::chain;

/// How long nothing is looked for when there was nothing to do and nobody said that there is.
const IDLE: Duration = Duration::from_secs(1);

/// How often remains are looked for.
const CLEARING: Duration = Duration::from_secs(5);

/// Making a connection, and waiting for a free one.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Writer(#[from] WriterError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs for the life of the process.
pub async fn run(writers: Writers, settings: BatchSettings, work: Arc<Notify>, tally: Tally) {
    let mut cleared = Instant::now();
    loop {
        let due = cleared.elapsed() >= CLEARING;
        match step(&writers, &settings, &tally, due).await {
            Ok(true) => {}
            Ok(false) => {
                if due {
                    cleared = Instant::now();
                }
                let _ = timeout(IDLE, work.notified()).await;
            }
            Err(error) => {
                tracing::debug!(error = chain(&error), "background work waits");
                sleep(IDLE).await;
            }
        }
    }
}

/// Does the next thing; false if there was nothing to do.
async fn step(
    writers: &Writers,
    settings: &BatchSettings,
    tally: &Tally,
    clear: bool,
) -> Result<bool, StepError> {
    let mut writer = writers.get(PATIENCE).await?;
    let client = &mut writer.client;
    if let Some(job) = store::take_job(client, settings.lease_seconds).await? {
        match store::finish_job(client, &job).await {
            Ok(()) => {
                tally.decided(job.status(), job.rows());
                tracing::info!(batch = job.id, "an asynchronous batch was decided");
            }
            Err(StoreError::Lost) => tracing::warn!(batch = job.id, "another process has the batch"),
            Err(error) => return Err(error.into()),
        }
        return Ok(true);
    }
    if fold::step(client).await? {
        return Ok(true);
    }
    Ok(clear && clear::step(client, settings.idempotency_hours).await?)
}
