//! Takes batches in: so many at once, each on a task of its own, so that it is finished also when its client is gone
//! once its content is complete.
//!
//! All of a batch has an end, counted from when it came ([`deadlines`]). A drain is given more than that.

mod deadlines;
mod lifecycle;
mod request;
mod transfer;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::batch::Batch;
use super::confirmations::Confirmations;
use super::error::BatchError;
use super::metrics::BatchMetrics;
use super::settings::BatchSettings;
use crate::database::Connections;
use crate::usage::InUse;
use deadlines::{Deadlines, ProcessEnd};
use lifecycle::Lifecycle;
pub use request::BatchRequest;

/// Cheap to clone.
#[derive(Clone)]
pub struct Ingest(Arc<Inner>);

struct Inner {
    lifecycle: Lifecycle,
    permits: Semaphore,
    waiting: AtomicUsize,
    tasks: TaskTracker,
    /// Wakes the folding of sums.
    work: Arc<Notify>,
}

impl Ingest {
    /// `request_timeout` is how long a request may wait for its turn and for the database.
    #[must_use]
    pub fn new(
        connections: Connections,
        confirmations: Arc<Confirmations>,
        settings: &BatchSettings,
        request_timeout: Duration,
        work: Arc<Notify>,
        metrics: BatchMetrics,
    ) -> Self {
        Self(Arc::new(Inner {
            permits: Semaphore::new(usize::from(settings.max_batches)),
            lifecycle: Lifecycle {
                connections,
                confirmations,
                settings: settings.clone(),
                request_timeout,
                metrics,
                process_end: ProcessEnd::default(),
            },
            waiting: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            work,
        }))
    }

    /// The process ends at the given moment, some time from now: batches are answered before.
    pub fn end_by(&self, end: Instant) {
        self.0.lifecycle.process_end.set(end);
    }

    /// Takes a batch in, or finds the one with its key.
    ///
    /// # Errors
    /// When nothing of it was written, and why.
    pub async fn ingest(
        &self,
        request: BatchRequest,
        body: Body,
        in_use: InUse,
    ) -> Result<Batch, BatchError> {
        let inner = Arc::clone(&self.0);
        let Lifecycle {
            settings,
            request_timeout,
            ..
        } = &inner.lifecycle;
        let deadlines = Deadlines::from_now(settings, *request_timeout);
        let running = {
            let inner = Arc::clone(&inner);
            async move {
                // Also once its client is gone.
                let _in_use = in_use;
                let outcome = inner.in_turn(&request, body, deadlines).await;
                if let Err(error) = &outcome {
                    inner.lifecycle.metrics.failed(error);
                }
                outcome
            }
        };
        // What it logs is the request's.
        let task = inner.tasks.spawn(running.in_current_span());
        task.await
            .unwrap_or_else(|panic| Err(BatchError::Failed(panic.into())))
    }

    /// Batches that are being taken in, and batches that wait for their turn.
    #[must_use]
    pub fn under_way_and_waiting(&self) -> (usize, usize) {
        (
            self.limit() - self.0.permits.available_permits(),
            self.0.waiting.load(Ordering::Relaxed),
        )
    }

    /// How many batches are taken in at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        usize::from(self.0.lifecycle.settings.max_batches)
    }

    /// Waits until all batches that were begun are answered.
    pub async fn finished(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl Inner {
    async fn in_turn(
        &self,
        request: &BatchRequest,
        body: Body,
        deadlines: Deadlines,
    ) -> Result<Batch, BatchError> {
        let permit = self.permit(deadlines.claimed).await?;
        let outcome = self
            .lifecycle
            .run(request, body.into_data_stream(), deadlines)
            .await;
        drop(permit);
        self.work.notify_one();
        outcome
    }

    async fn permit(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, BatchError> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let permit = timeout_at(deadline, self.permits.acquire()).await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(BatchError::Busy),
        }
    }
}
