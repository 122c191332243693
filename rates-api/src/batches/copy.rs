//! The groups of a batch go to the database, a chunk a transaction: short ones, however long a client takes.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt as _;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Client;

use super::grouping::COPY;
use super::intake::Piece;
use super::store::{self, StoreError};

/// Copies what comes, and meanwhile keeps the batch's lease. Returns when no more comes.
///
/// A `COPY` whose end does not come is not committed.
pub async fn copy(
    client: &mut Client,
    batch: i64,
    pieces: &mut Receiver<Piece>,
    progress: &AtomicU64,
    lease: Duration,
) -> Result<(), StoreError> {
    let mut renewed = Instant::now();
    loop {
        match timeout_at(renewed + lease / 3, pieces.recv()).await {
            Ok(Some(Piece::Copy(first))) => copy_chunk(client, batch, first, pieces).await?,
            Ok(Some(Piece::EndOfCopy)) => {}
            Ok(None) => return Ok(()),
            Err(_) => {
                store::renew(client, batch, progress.load(Ordering::Relaxed), lease).await?;
                renewed = Instant::now();
            }
        }
    }
}

async fn copy_chunk(
    client: &mut Client,
    batch: i64,
    first: Bytes,
    pieces: &mut Receiver<Piece>,
) -> Result<(), StoreError> {
    let transaction = client.transaction().await?;
    // Whoever clears an abandoned batch away waits for this, and finds these rows too.
    store::hold(&transaction, batch).await?;
    let mut sink = pin!(transaction.copy_in(COPY).await?);
    sink.send(first).await?;
    loop {
        match pieces.recv().await {
            Some(Piece::Copy(bytes)) => sink.send(bytes).await?,
            Some(Piece::EndOfCopy) => break,
            None => return Ok(()),
        }
    }
    sink.finish().await?;
    transaction.commit().await?;
    Ok(())
}
