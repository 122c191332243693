//! What is done for batches beside requests, by every process: asynchronous batches are finished, the sums of applied
//! ones are folded into the sums that reads use, one step at a time; and beside that orphaned rows are cleared away.
//!
//! Each step is a short transaction that takes a row which no other process holds, so any number of processes share
//! the work, and one that dies in the middle has done nothing.

mod adopt;
mod clear;
mod fold;
mod step;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::settings::BatchSettings;
use super::store::{self, Job, StoreError};
use super::tally::Tally;
use crate::database::Connections;
use crate::report::chain;
use step::{PATIENCE, StepError};

/// How long nothing is looked for when there was nothing to do and nobody said that there is.
const IDLE: Duration = Duration::from_secs(1);

/// Runs until it is told to stop: what it has begun then, it finishes, so that nobody has to wait for a lease.
pub async fn run(
    writers: Connections,
    settings: BatchSettings,
    work: Arc<Notify>,
    tally: Tally,
    stopping: CancellationToken,
) {
    let digests = settings.ingest_token_digests_file.clone();
    tokio::join!(
        clear::run(&writers, settings.idempotency_hours, &stopping),
        adopt::run(&writers, digests.as_deref(), &stopping),
        follow_up(&writers, settings, work, tally, &stopping)
    );
    tracing::info!("background work has stopped");
}

async fn follow_up(
    writers: &Connections,
    settings: BatchSettings,
    work: Arc<Notify>,
    tally: Tally,
    stopping: &CancellationToken,
) {
    let mut worker = Worker {
        settings,
        tally,
        job: None,
    };
    loop {
        let writer = tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            writer = writers.get(PATIENCE) => writer,
        };
        let stepped = match writer {
            Ok(mut writer) => worker.step(&mut writer.client).await,
            Err(error) => Err(error.into()),
        };
        let idle = match stepped {
            Ok(true) => continue,
            Ok(false) => timeout(IDLE, work.notified()).map(drop).left_future(),
            Err(error) => {
                tracing::debug!(error = chain(&error), "background work waits");
                sleep(IDLE).right_future()
            }
        };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = idle => {}
        }
    }
}

struct Worker {
    settings: BatchSettings,
    tally: Tally,
    /// The one that was taken and is not decided, as the database was lost in between.
    job: Option<Job>,
}

impl Worker {
    /// Does the next thing; false if there was nothing to do.
    async fn step(&mut self, client: &mut Client) -> Result<bool, StepError> {
        if self.job.is_none() {
            self.job = store::take_job(client, self.settings.lease_seconds).await?;
        }
        if let Some(job) = &self.job {
            match store::finish_job(client, job).await {
                Ok(()) => {
                    self.tally.decided(job.status(), job.rows());
                    tracing::info!(batch = job.id, "an asynchronous batch was decided");
                }
                Err(StoreError::Lost) => tracing::warn!(batch = job.id, "another process has the batch"),
                Err(error) => return Err(error.into()),
            }
            self.job = None;
            return Ok(true);
        }
        Ok(fold::step(client).await?)
    }
}
