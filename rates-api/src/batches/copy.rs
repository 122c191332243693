//! The groups of a batch go to the database, a chunk a transaction: short ones, however long a client takes.

use std::pin::pin;

use bytes::Bytes;
use futures::SinkExt as _;
use tokio::sync::mpsc::Receiver;
use tokio_postgres::Client;

use super::decoder::Piece;
use super::grouping::COPY;
use super::store::{self, StoreError};
use crate::database::Session;

/// Copies what comes. Returns when no more comes, or the connection ends.
///
/// A `COPY` whose end does not come is not committed.
pub async fn copy(session: &mut Session, batch: i64, pieces: &mut Receiver<Piece>) -> Result<(), StoreError> {
    let (client, driver) = session.halves();
    loop {
        let piece = tokio::select! {
            piece = pieces.recv() => piece,
            () = driver.ended() => return Err(StoreError::Ended),
        };
        match piece {
            Some(Piece::Copy(first)) => copy_chunk(client, batch, first, pieces).await?,
            Some(Piece::EndOfCopy) => {}
            None => return Ok(()),
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
