//! The content of a batch on its way: from the client through the decoder's thread to the database.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::body::BodyDataStream;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::request::BatchRequest;
use crate::batches::copy::copy;
use crate::batches::decoder::{DecodedBatch, Decoder, Frame, Limits, Piece};
use crate::batches::error::BatchError;
use crate::batches::locked_connection::LockedConnection;
use crate::batches::ports::Ports;
use crate::batches::settings::BatchSettings;

/// Where the prices of a new batch go.
pub struct Destination<'a> {
    pub connection: &'a mut LockedConnection,
    pub ports: Ports,
    /// Rows so far.
    pub progress: Arc<AtomicU64>,
}

/// Pieces between the client, the thread and the database; each is some tens of kilobytes.
const PIECES: usize = 8;

/// Reads the body to its end. Its prices are then in the database; without a destination, only the checksum is wanted.
pub async fn read(
    batch: i64,
    request: &BatchRequest,
    body: BodyDataStream,
    destination: Option<Destination<'_>>,
    settings: &BatchSettings,
) -> Result<DecodedBatch, BatchError> {
    let (frames, received) = mpsc::channel(PIECES);
    let (pieces, mut to_copy) = mpsc::channel(PIECES);
    let (format, connection, ports, progress) = match destination {
        Some(Destination {
            connection,
            ports,
            progress,
        }) => (Some(request.format), Some(connection), ports, progress),
        None => Default::default(),
    };
    let thread = Decoder {
        batch,
        format,
        gzip: request.gzip,
        ports: Arc::new(ports),
        limits: Limits {
            bytes: settings.max_batch_bytes,
            rows: settings.max_batch_rows,
        },
        progress,
    };
    let outcome = thread
        .start(received, pieces)
        .map_err(|error| BatchError::Failed(error.into()))?;
    let lost = CancellationToken::new();
    let copying = async {
        let outcome = if let Some(connection) = connection {
            copy_into(connection, batch, &mut to_copy).await
        } else {
            while to_copy.recv().await.is_some() {}
            Ok(())
        };
        // The thread learns from this that nobody takes its rows any more.
        to_copy.close();
        while to_copy.try_recv().is_ok() {}
        if outcome.is_err() {
            // Without its database a batch ends at once, however much its client has still to send.
            lost.cancel();
        }
        outcome
    };
    let feeding = feed(body, frames, settings.body_timeout_seconds, &lost);
    let (fed, copied) = tokio::join!(feeding, copying);
    let decoded = outcome.await.map_err(|panic| BatchError::Failed(panic.into()))?;
    copied?;
    fed?;
    Ok(decoded?)
}

async fn copy_into(
    connection: &mut LockedConnection,
    batch: i64,
    pieces: &mut mpsc::Receiver<Piece>,
) -> Result<(), BatchError> {
    Ok(copy(connection.session()?, batch, pieces).await?)
}

/// Hands the body on, piece by piece. Ends early, and without an error, when nobody takes it or it is of no use.
async fn feed(
    mut body: BodyDataStream,
    frames: mpsc::Sender<Frame>,
    silence: Duration,
    useless: &CancellationToken,
) -> Result<(), BatchError> {
    loop {
        let next = tokio::select! {
            next = timeout(silence, body.next()) => next,
            () = frames.closed() => return Ok(()),
            () = useless.cancelled() => return Ok(()),
        };
        let frame = match next {
            Ok(Some(Ok(bytes))) => Frame::Data(bytes),
            Ok(Some(Err(_))) => return Err(BatchError::Disconnected),
            Ok(None) => {
                let _ = frames.send(Frame::End).await;
                return Ok(());
            }
            Err(_) => return Err(BatchError::Silent(silence)),
        };
        if frames.send(frame).await.is_err() {
            return Ok(());
        }
    }
}
