//! Keys of programs of the release before get their owner, so that they stay known when the token is replaced.

use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::step::{PATIENCE, StepError};
use crate::batches::{store, tokens};
use crate::database::Connections;
use crate::report::chain;

/// How often it is looked whether there are any: sooner than a token that is replaced is forgotten.
const OFTEN: Duration = Duration::from_secs(5);

/// Runs until it is told to stop.
pub async fn run(writers: &Connections, digests: Option<&Path>, stopping: &CancellationToken) {
    loop {
        if let Err(error) = adopt(writers, digests).await {
            tracing::debug!(error = chain(&error), "the owners of keys cannot be noted yet");
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = sleep(OFTEN) => {}
        }
    }
}

async fn adopt(writers: &Connections, digests: Option<&Path>) -> Result<(), StepError> {
    let owners = tokens::owners(digests).await;
    if owners.is_empty() {
        return Ok(());
    }
    let writer = writers.get(PATIENCE).await?;
    for owner in owners {
        store::adopt(&writer.client, &owner).await?;
    }
    Ok(())
}
