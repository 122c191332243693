//! One batch from its first byte to its answer.
//!
//! It runs on a task of its own: once the body is complete, the batch is finished also when its client is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures::StreamExt as _;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::content::Format;
use super::copy::copy;
use super::intake::{Frame, Intake, Limits, Taken};
use super::ports::Ports;
use super::refusal::Refusal;
use super::settings::BatchSettings;
use super::store::{self, Batch, Claim, Next, Status, StoreError};
use super::tally::Tally;
use super::tokens::TokenDigest;
use super::writers::Writers;
use crate::report::chain;

/// A request that may write, as its headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    pub token: TokenDigest,
    pub key: Option<String>,
    pub format: Format,
    pub gzip: bool,
    pub asynchronous: bool,
}

/// Takes batches in.
#[derive(Clone)]
pub struct Receiver(Arc<Inner>);

struct Inner {
    writers: Writers,
    settings: BatchSettings,
    patience: Duration,
    places: Semaphore,
    waiting: AtomicUsize,
    tasks: TaskTracker,
    tally: Tally,
    /// Something is to be done in the background.
    work: Arc<Notify>,
}

/// Pieces between the client, the thread and the database; each is some tens of kilobytes.
const PIECES: usize = 8;

/// A batch whose end was decided and whose answer was lost is asked for again after that long.
const AGAIN: Duration = Duration::from_millis(100);

impl Receiver {
    /// `patience` is how long a request may wait for its turn and for the database.
    #[must_use]
    pub fn new(
        writers: Writers,
        settings: &BatchSettings,
        patience: Duration,
        work: Arc<Notify>,
        tally: Tally,
    ) -> Self {
        Self(Arc::new(Inner {
            writers,
            places: Semaphore::new(usize::from(settings.max_batches)),
            settings: settings.clone(),
            patience,
            waiting: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            tally,
            work,
        }))
    }

    /// Takes a batch in, or finds the one with its key.
    ///
    /// # Errors
    /// When nothing of it was written, and why.
    pub async fn receive(&self, incoming: Incoming, body: Body) -> Result<Batch, Refusal> {
        let receiver = self.clone();
        let taking = async move {
            let outcome = receiver.take_in_turn(&incoming, body.into_data_stream()).await;
            if let Err(refusal) = &outcome {
                receiver.0.tally.refused(refusal);
            }
            outcome
        };
        // What it logs is the request's.
        let task = self.0.tasks.spawn(taking.in_current_span());
        task.await
            .unwrap_or_else(|panic| Err(Refusal::Failed(panic.into())))
    }

    /// A batch by its id.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find(&self, id: i64) -> Result<Option<Batch>, Refusal> {
        let writer = self.0.writers.get(self.0.patience).await?;
        Ok(store::find(&writer.client, id).await?)
    }

    /// Batches, the newest first, beginning below an id.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list(&self, below: Option<i64>, limit: i64) -> Result<Vec<Batch>, Refusal> {
        let writer = self.0.writers.get(self.0.patience).await?;
        Ok(store::list(&writer.client, below, limit).await?)
    }

    /// Batches that are being taken in, and batches that wait for their turn.
    #[must_use]
    pub fn under_way_and_waiting(&self) -> (usize, usize) {
        let places = usize::from(self.0.settings.max_batches);
        (
            places - self.0.places.available_permits(),
            self.0.waiting.load(Ordering::Relaxed),
        )
    }

    /// Waits until all batches that were begun are answered.
    pub async fn finished(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    async fn place(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        let place = timeout(self.0.patience, self.0.places.acquire()).await;
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        match place {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Refusal::Busy),
        }
    }

    async fn take_in_turn(&self, incoming: &Incoming, body: BodyDataStream) -> Result<Batch, Refusal> {
        let place = self.place().await?;
        let outcome = self.take(incoming, body).await;
        drop(place);
        self.0.work.notify_one();
        outcome
    }

    async fn take(&self, incoming: &Incoming, body: BodyDataStream) -> Result<Batch, Refusal> {
        let deadline = Instant::now() + self.0.settings.max_batch_seconds;
        match self.claim(incoming).await? {
            (Claim::Known(batch), _) => {
                let batch = self.answer_again(&batch, incoming, body, deadline).await?;
                self.0.tally.repeated();
                Ok(batch)
            }
            (Claim::New(id), ports) => {
                let began = Instant::now();
                let outcome = match self.take_new(id, incoming, body, ports, deadline).await {
                    Ok(batch) => Ok(batch),
                    Err(refusal) => self.settle(id, refusal).await,
                };
                match &outcome {
                    Ok(batch) => {
                        self.0.tally.decided(batch.status, batch.rows);
                        let (status, rows) = (batch.status, batch.rows);
                        let seconds = began.elapsed().as_secs_f64();
                        tracing::info!(batch = id, ?status, rows, seconds, "a batch was taken in");
                    }
                    Err(refusal) => {
                        tracing::info!(batch = id, reason = chain(refusal), "a batch was not taken in");
                    }
                }
                outcome
            }
        }
    }

    /// Gives a batch up that could not be finished, unless it was: then that is its answer after all.
    async fn settle(&self, id: i64, refusal: Refusal) -> Result<Batch, Refusal> {
        let given_up = async {
            let writer = self.0.writers.get(self.0.patience).await?;
            Ok::<_, Refusal>(store::give_up(&writer.client, id).await?)
        };
        match (timeout(self.0.settings.lease_seconds, given_up).await, refusal) {
            (Ok(Ok(Some(batch))), _) => Ok(batch),
            (Ok(Ok(None)), Refusal::InDoubt { source, .. }) => Err(Refusal::DatabaseLost(source)),
            (Ok(Ok(None)), refusal) => Err(refusal),
            (_, refusal) => {
                tracing::warn!(batch = id, "a batch is left to its lease");
                Err(refusal)
            }
        }
    }

    /// Asks until the database answers or patience ends: nothing of the body was read yet.
    async fn claim(&self, incoming: &Incoming) -> Result<(Claim, Ports), Refusal> {
        let deadline = Instant::now() + self.0.patience;
        loop {
            match self.try_claim(incoming).await {
                Err(Refusal::DatabaseLost(error)) if Instant::now() + AGAIN < deadline => {
                    tracing::debug!(error = chain(&*error), "a batch waits for the database");
                    sleep(AGAIN).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_claim(&self, incoming: &Incoming) -> Result<(Claim, Ports), Refusal> {
        let writer = self.0.writers.get(self.0.patience).await?;
        let ports = Ports::read(&writer.client).await.map_err(StoreError::from)?;
        let claim = store::claim(
            &writer.client,
            incoming.token,
            incoming.key.as_deref(),
            incoming.asynchronous,
            self.0.settings.lease_seconds,
        )
        .await?;
        Ok((claim, ports))
    }

    async fn take_new(
        &self,
        id: i64,
        incoming: &Incoming,
        body: BodyDataStream,
        ports: Ports,
        deadline: Instant,
    ) -> Result<Batch, Refusal> {
        let received = self.read(id, Some(incoming.format), incoming, body, ports);
        let taken = match timeout_at(deadline, received).await {
            Ok(taken) => taken?,
            Err(_) => return Err(Refusal::TooLong(self.0.settings.max_batch_seconds)),
        };
        self.finish(id, &taken, incoming).await
    }

    /// Reads the body to its end; with a format, its prices are then in the database.
    async fn read(
        &self,
        id: i64,
        format: Option<Format>,
        incoming: &Incoming,
        body: BodyDataStream,
        ports: Ports,
    ) -> Result<Taken, Refusal> {
        let progress = Arc::new(AtomicU64::new(0));
        let (frames, received) = mpsc::channel(PIECES);
        let (pieces, mut copied) = mpsc::channel(PIECES);
        let intake = Intake {
            batch: id,
            format,
            gzip: incoming.gzip,
            ports: Arc::new(ports),
            limits: Limits {
                bytes: self.0.settings.max_batch_bytes,
                rows: self.0.settings.max_batch_rows,
            },
            progress: Arc::clone(&progress),
        };
        let outcome = intake
            .start(received, pieces)
            .map_err(|error| Refusal::Failed(error.into()))?;
        let copying = async {
            let outcome = self.copy(id, format, &mut copied, &progress).await;
            // The thread learns from this that nobody takes its rows any more.
            copied.close();
            while copied.try_recv().is_ok() {}
            outcome
        };
        let (fed, copied) = tokio::join!(feed(body, frames, self.0.settings.body_timeout_seconds), copying);
        let taken = outcome.await.map_err(|panic| Refusal::Failed(panic.into()))?;
        copied?;
        fed?;
        Ok(taken?)
    }

    async fn copy(
        &self,
        id: i64,
        format: Option<Format>,
        pieces: &mut mpsc::Receiver<super::intake::Piece>,
        progress: &AtomicU64,
    ) -> Result<(), Refusal> {
        if format.is_none() {
            while pieces.recv().await.is_some() {}
            return Ok(());
        }
        let mut writer = self.0.writers.get(self.0.patience).await?;
        let lease = self.0.settings.lease_seconds;
        Ok(copy(&mut writer.client, id, pieces, progress, lease).await?)
    }

    /// Decides the batch. If the connection is lost at that moment, what was decided is found out.
    async fn finish(&self, id: i64, taken: &Taken, incoming: &Incoming) -> Result<Batch, Refusal> {
        let next = if incoming.asynchronous {
            Next::Queue
        } else {
            Next::Decide
        };
        let deadline = Instant::now() + self.0.patience;
        loop {
            let outcome = async {
                let mut writer = self.0.writers.get(self.0.patience).await?;
                Ok::<_, Refusal>(store::received(&mut writer.client, id, taken, next).await?)
            };
            let source = match timeout_at(deadline, outcome).await {
                Ok(Err(Refusal::DatabaseLost(error))) => error,
                Ok(outcome) => return outcome,
                Err(elapsed) => elapsed.into(),
            };
            if Instant::now() + AGAIN >= deadline {
                return Err(Refusal::InDoubt { id, source });
            }
            tracing::warn!(
                batch = id,
                error = chain(&*source),
                "the end of a batch is tried again"
            );
            sleep(AGAIN).await;
        }
    }

    /// What the first request with this key was answered, if this one has the same content.
    async fn answer_again(
        &self,
        batch: &Batch,
        incoming: &Incoming,
        body: BodyDataStream,
        deadline: Instant,
    ) -> Result<Batch, Refusal> {
        let Some(checksum) = batch
            .checksum
            .as_ref()
            .filter(|_| batch.status != Status::Receiving)
        else {
            return Err(Refusal::InProgress);
        };
        let received = self.read(batch.id, None, incoming, body, Ports::default());
        match timeout_at(deadline, received).await {
            Ok(Ok(taken)) if taken.checksum == *checksum => Ok(batch.clone()),
            Ok(Ok(_)) => Err(Refusal::KeyReused),
            Ok(Err(refusal)) => Err(refusal),
            Err(_) => Err(Refusal::TooLong(self.0.settings.max_batch_seconds)),
        }
    }
}

/// Hands the body on, piece by piece. Ends early, and without an error, when nobody takes it.
async fn feed(
    mut body: BodyDataStream,
    frames: mpsc::Sender<Frame>,
    patience: Duration,
) -> Result<(), Refusal> {
    loop {
        let next = tokio::select! {
            next = timeout(patience, body.next()) => next,
            () = frames.closed() => return Ok(()),
        };
        let frame = match next {
            Ok(Some(Ok(bytes))) => Frame::Data(bytes),
            Ok(Some(Err(_))) => return Err(Refusal::Disconnected),
            Ok(None) => {
                let _ = frames.send(Frame::End).await;
                return Ok(());
            }
            Err(_) => return Err(Refusal::Silent(patience)),
        };
        if frames.send(frame).await.is_err() {
            return Ok(());
        }
    }
}
