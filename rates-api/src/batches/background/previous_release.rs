//! What processes of the release before left to be done, in a rollout or before it: the next release needs none of this.
//!
//! They note tokens and no owner of a key: it gets its owner, so that it stays known when the token is replaced. And
//! they store an asynchronous batch and decide it later: one whose process died in between is decided here.

use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::step::{PATIENCE, StepError};
use crate::batches::metrics::BatchMetrics;
use crate::batches::{store, tokens};
use crate::database::Connections;
use crate::report::chain;

/// How often it is looked whether there is anything: sooner than a token that is replaced is forgotten.
const OFTEN: Duration = Duration::from_secs(5);

/// Runs until it is told to stop.
pub async fn run(
    connections: &Connections,
    digests: Option<&Path>,
    metrics: &BatchMetrics,
    stopping: &CancellationToken,
) {
    loop {
        if let Err(error) = look(connections, digests, metrics).await {
            tracing::debug!(error = chain(&error), "what the release before left waits");
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = sleep(OFTEN) => {}
        }
    }
}

async fn look(
    connections: &Connections,
    digests: Option<&Path>,
    metrics: &BatchMetrics,
) -> Result<(), StepError> {
    let owners = tokens::owners(digests).await;
    let mut connection = connections.get(PATIENCE).await?;
    for (status, rows) in store::decide_queued(&mut connection).await? {
        metrics.decided(status, rows);
        tracing::info!(?status, rows, "a batch that was left undecided was decided");
    }
    for owner in owners {
        store::adopt(&connection.client, &owner).await?;
    }
    Ok(())
}
