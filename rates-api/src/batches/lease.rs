//! The lease of a batch that is coming in.
//!
//! It is renewed beside the work, on another connection, from the claim to the end: neither a client that sends slowly nor
//! a `COPY` that takes long is a reason to give the batch up. A batch whose lease runs out was left by a process that died: its key is free again. What bounds a batch is its deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::error::BatchError;
use super::store::{self, StoreError};
use crate::database::Connections;
use crate::report::chain;

/// Renewed until it is dropped.
pub struct Lease {
    /// Rows so far, for those who ask meanwhile.
    progress: Arc<AtomicU64>,
    lost: CancellationToken,
    _renewing: AbortOnDropHandle<()>,
}

impl Lease {
    pub fn keep(connections: Connections, batch: i64, length: Duration) -> Self {
        let progress = Arc::new(AtomicU64::new(0));
        let lost = CancellationToken::new();
        let renewing = tokio::spawn(renew(
            connections,
            batch,
            length,
            Arc::clone(&progress),
            lost.clone(),
        ));
        Self {
            progress,
            lost,
            _renewing: AbortOnDropHandle::new(renewing),
        }
    }

    pub fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.progress)
    }

    /// Waits until the batch is not this process's any more.
    pub async fn lost(&self) -> StoreError {
        self.lost.cancelled().await;
        StoreError::Lost
    }
}

async fn renew(
    connections: Connections,
    batch: i64,
    length: Duration,
    progress: Arc<AtomicU64>,
    lost: CancellationToken,
) {
    let pace = length / 3;
    loop {
        sleep(pace).await;
        let renewed = timeout(pace, async {
            let connection = connections.get(pace).await?;
            let rows = progress.load(Ordering::Relaxed);
            store::renew(&connection.client, batch, rows, length)
                .await
                .map_err(BatchError::from)
        });
        match renewed.await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return lost.cancel(),
            // What the batch itself does with its database says whether it is lost.
            Ok(Err(error)) => tracing::debug!(batch, error = chain(&error), "a lease is not renewed"),
            Err(_) => tracing::debug!(batch, "a lease is not renewed in time"),
        }
    }
}
