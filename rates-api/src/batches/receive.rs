//! One batch from its first byte to its answer.
//!
//! It runs on a task of its own: once the body is complete, the batch is finished also when its client is gone.
//!
//! All of it has an end, counted from when it came ([`Deadlines`]): however slow its client or the database is, its
//! answer is known `max_batch_seconds` and the patience of a request later. A drain is given more than that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures::StreamExt as _;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::content::Format;
use super::copy::copy;
use super::held::Held;
use super::intake::{Frame, Intake, Limits, Piece, Taken};
use super::lease::Lease;
use super::ports::Ports;
use super::refusal::Refusal;
use super::settings::BatchSettings;
use super::store::{self, Batch, Claim, Next, Status};
use super::tally::Tally;
use super::tokens::Writer;
use crate::database::Connections;
use crate::report::chain;

/// A request that may write, as its headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    pub writer: Writer,
    pub key: Option<String>,
    pub format: Format,
    pub gzip: bool,
    pub asynchronous: bool,
}

/// Takes batches in.
#[derive(Clone)]
pub struct Receiver(Arc<Inner>);

struct Inner {
    writers: Connections,
    settings: BatchSettings,
    patience: Duration,
    places: Semaphore,
    waiting: AtomicUsize,
    tasks: TaskTracker,
    tally: Tally,
    /// Something is to be done in the background.
    work: Arc<Notify>,
    /// When the process ends, once that is known.
    ending: watch::Sender<Option<Ending>>,
}

/// The last moments of the process.
#[derive(Clone, Copy)]
struct Ending {
    /// Content that is not complete by then is given up, so that its client is told.
    content: Instant,
    /// What is not decided by then is in doubt.
    decided: Instant,
}

/// Until when what has to be done.
#[derive(Clone, Copy)]
struct Deadlines {
    /// It has its place, and the database has taken it.
    claimed: Instant,
    /// Its content is in the database.
    content: Instant,
    /// It is decided.
    decided: Instant,
    /// It is given up, if it was not decided.
    settled: Instant,
}

impl Deadlines {
    fn from_now(settings: &BatchSettings, patience: Duration) -> Self {
        let content = Instant::now() + settings.max_batch_seconds;
        let settled = content + patience;
        Self {
            claimed: content.min(Instant::now() + patience),
            content,
            decided: settled - patience / 3,
            settled,
        }
    }
}

/// Where a new batch goes.
struct Destination<'a> {
    held: &'a mut Held,
    /// Rows so far.
    progress: Arc<AtomicU64>,
}

/// Pieces between the client, the thread and the database; each is some tens of kilobytes.
const PIECES: usize = 8;

/// What a batch that is given up at the end of the process is given to be told so.
const MARGIN: Duration = Duration::from_secs(4);

/// A batch whose end was decided and whose answer was lost is asked for again after that long.
const AGAIN: Duration = Duration::from_millis(100);

impl Receiver {
    /// `patience` is how long a request may wait for its turn and for the database.
    #[must_use]
    pub fn new(
        writers: Connections,
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
            ending: watch::Sender::new(None),
        }))
    }

    /// The process ends at the given moment, some time from now: batches are answered before.
    pub fn end_by(&self, end: Instant) {
        let left = end.saturating_duration_since(Instant::now());
        let margin = (left / 4).min(MARGIN);
        self.0.ending.send_replace(Some(Ending {
            content: end - margin,
            decided: end - margin / 2,
        }));
    }

    /// Takes a batch in, or finds the one with its key.
    ///
    /// # Errors
    /// When nothing of it was written, and why.
    pub async fn receive(&self, incoming: Incoming, body: Body) -> Result<Batch, Refusal> {
        let receiver = self.clone();
        let deadlines = Deadlines::from_now(&self.0.settings, self.0.patience);
        let taking = async move {
            let outcome = receiver
                .take_in_turn(&incoming, body.into_data_stream(), deadlines)
                .await;
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

    async fn place(&self, deadline: Instant) -> Result<tokio::sync::SemaphorePermit<'_>, Refusal> {
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        let place = timeout_at(deadline, self.0.places.acquire()).await;
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        match place {
            Ok(Ok(place)) => Ok(place),
            _ => Err(Refusal::Busy),
        }
    }

    async fn take_in_turn(
        &self,
        incoming: &Incoming,
        body: BodyDataStream,
        deadlines: Deadlines,
    ) -> Result<Batch, Refusal> {
        let place = self.place(deadlines.claimed).await?;
        let outcome = self.take(incoming, body, deadlines).await;
        drop(place);
        self.0.work.notify_one();
        outcome
    }

    async fn take(
        &self,
        incoming: &Incoming,
        body: BodyDataStream,
        deadlines: Deadlines,
    ) -> Result<Batch, Refusal> {
        let (claim, ports, mut held) = self.claim(incoming, deadlines.claimed).await?;
        let id = match claim {
            Claim::Known(batch) => {
                drop(held);
                let batch = self
                    .answer_again(&batch, incoming, body, deadlines.content)
                    .await?;
                self.0.tally.repeated();
                return Ok(batch);
            }
            Claim::New(id) => id,
        };
        let began = Instant::now();
        let outcome = match self
            .take_new(id, incoming, body, ports, deadlines, &mut held)
            .await
        {
            Ok(batch) => Ok(batch),
            Err(refusal) => self.settle(id, refusal, deadlines.settled).await,
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

    /// Gives a batch up that could not be finished, unless it was: then that is its answer after all.
    async fn settle(&self, id: i64, refusal: Refusal, deadline: Instant) -> Result<Batch, Refusal> {
        let given_up = async {
            let writer = self.0.writers.get(self.0.patience).await?;
            Ok::<_, Refusal>(store::give_up(&writer.client, id).await?)
        };
        let deadline = deadline.min(Instant::now() + self.0.settings.lease_seconds);
        match (timeout_at(deadline, given_up).await, refusal) {
            (Ok(Ok(Some(batch))), _) => Ok(batch),
            (Ok(Ok(None)), Refusal::InDoubt { source, .. }) => Err(Refusal::DatabaseLost(source)),
            (Ok(Ok(None)), refusal) => Err(refusal),
            (_, refusal) => {
                tracing::warn!(batch = id, "a batch is left to its lease");
                Err(refusal)
            }
        }
    }

    /// Asks until the database answers or patience ends: nothing of the body was read yet. A database that is about to
    /// be stopped has it wait, and then ends its connection; it goes on when the server is back.
    async fn claim(&self, incoming: &Incoming, deadline: Instant) -> Result<(Claim, Ports, Held), Refusal> {
        loop {
            let error = match timeout_at(deadline, self.try_claim(incoming, deadline)).await {
                Ok(Err(Refusal::DatabaseLost(error))) => error,
                Ok(outcome) => return outcome,
                Err(elapsed) => return Err(Refusal::DatabaseLost(elapsed.into())),
            };
            if Instant::now() + AGAIN >= deadline {
                return Err(Refusal::DatabaseLost(error));
            }
            tracing::debug!(error = chain(&*error), "a batch waits for the database");
            sleep(AGAIN).await;
        }
    }

    async fn try_claim(
        &self,
        incoming: &Incoming,
        deadline: Instant,
    ) -> Result<(Claim, Ports, Held), Refusal> {
        let within = deadline.saturating_duration_since(Instant::now());
        let mut held = Held::new(self.0.writers.get(within).await?);
        let (writer, key) = (&incoming.writer, incoming.key.as_deref());
        let client = held.client()?;
        // Both are sent at once.
        let ports = async { Ports::read(client).await.map_err(Refusal::from) };
        let known = async { store::known(client, writer, key).await.map_err(Refusal::from) };
        let (ports, known) = tokio::try_join!(ports, known)?;
        let claim = if let Some(batch) = known {
            Claim::Known(batch)
        } else {
            let lease = self.0.settings.lease_seconds;
            store::claim(&mut held, writer, key, incoming.asynchronous, lease).await?
        };
        Ok((claim, ports, held))
    }

    async fn take_new(
        &self,
        id: i64,
        incoming: &Incoming,
        body: BodyDataStream,
        ports: Ports,
        deadlines: Deadlines,
        held: &mut Held,
    ) -> Result<Batch, Refusal> {
        let lease = Lease::keep(self.0.writers.clone(), id, self.0.settings.lease_seconds);
        let into = Destination {
            held,
            progress: lease.progress(),
        };
        let received = self.read(id, Some(into), incoming, body, ports);
        let taken = tokio::select! {
            taken = self.in_time(deadlines.content, received) => taken?,
            lost = lease.lost() => return Err(lost.into()),
        };
        self.finish(id, &taken, incoming, deadlines.decided, held).await
    }

    /// Waits for the content, but not beyond its time, nor until the process is cut off.
    async fn in_time<T>(
        &self,
        deadline: Instant,
        reading: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let mut ending = self.0.ending.subscribe();
        let stopped = async {
            let ending = ending
                .wait_for(Option::is_some)
                .await
                .ok()
                .and_then(|ending| *ending);
            match ending {
                Some(ending) => sleep_until(ending.content).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            taken = timeout_at(deadline, reading) => {
                taken.unwrap_or(Err(Refusal::TooLong(self.0.settings.max_batch_seconds)))
            }
            () = stopped => Err(Refusal::Stopping),
        }
    }

    /// Reads the body to its end. Its prices are then where they are to go; without that, only the checksum is wanted.
    async fn read(
        &self,
        id: i64,
        into: Option<Destination<'_>>,
        incoming: &Incoming,
        body: BodyDataStream,
        ports: Ports,
    ) -> Result<Taken, Refusal> {
        let (frames, received) = mpsc::channel(PIECES);
        let (pieces, mut copied) = mpsc::channel(PIECES);
        let intake = Intake {
            batch: id,
            format: into.as_ref().map(|_| incoming.format),
            gzip: incoming.gzip,
            ports: Arc::new(ports),
            limits: Limits {
                bytes: self.0.settings.max_batch_bytes,
                rows: self.0.settings.max_batch_rows,
            },
            progress: into
                .as_ref()
                .map(|into| Arc::clone(&into.progress))
                .unwrap_or_default(),
        };
        let outcome = intake
            .start(received, pieces)
            .map_err(|error| Refusal::Failed(error.into()))?;
        let lost = CancellationToken::new();
        let copying = async {
            let outcome = if let Some(Destination { held, .. }) = into {
                copy_into(held, id, &mut copied).await
            } else {
                while copied.recv().await.is_some() {}
                Ok(())
            };
            // The thread learns from this that nobody takes its rows any more.
            copied.close();
            while copied.try_recv().is_ok() {}
            if outcome.is_err() {
                // Without its database a batch ends at once, however much its client has still to send.
                lost.cancel();
            }
            outcome
        };
        let feeding = feed(body, frames, self.0.settings.body_timeout_seconds, &lost);
        let (fed, copied) = tokio::join!(feeding, copying);
        let taken = outcome.await.map_err(|panic| Refusal::Failed(panic.into()))?;
        copied?;
        fed?;
        Ok(taken?)
    }

    /// Decides the batch. If the connection is lost at that moment, what was decided is found out on another one.
    async fn finish(
        &self,
        id: i64,
        taken: &Taken,
        incoming: &Incoming,
        deadline: Instant,
        held: &mut Held,
    ) -> Result<Batch, Refusal> {
        let next = if incoming.asynchronous {
            Next::Queue
        } else {
            Next::Decide
        };
        let mut deadline = deadline.min(Instant::now() + self.0.patience);
        let mut first = Some(held);
        loop {
            if let Some(ending) = *self.0.ending.borrow() {
                deadline = deadline.min(ending.decided);
            }
            let held = first.take();
            let outcome = async {
                let batch = if let Some(held) = held {
                    store::received(held.client()?, id, taken, next).await?
                } else {
                    let mut writer = self.0.writers.get(self.0.patience).await?;
                    store::received(&mut writer.client, id, taken, next).await?
                };
                Ok::<_, Refusal>(batch)
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
        let taken = self.in_time(deadline, received).await?;
        if taken.checksum == *checksum {
            Ok(batch.clone())
        } else {
            Err(Refusal::KeyReused)
        }
    }
}

async fn copy_into(held: &mut Held, id: i64, pieces: &mut mpsc::Receiver<Piece>) -> Result<(), Refusal> {
    Ok(copy(held.session()?, id, pieces).await?)
}

/// Hands the body on, piece by piece. Ends early, and without an error, when nobody takes it or it is of no use.
async fn feed(
    mut body: BodyDataStream,
    frames: mpsc::Sender<Frame>,
    patience: Duration,
    useless: &CancellationToken,
) -> Result<(), Refusal> {
    loop {
        let next = tokio::select! {
            next = timeout(patience, body.next()) => next,
            () = frames.closed() => return Ok(()),
            () = useless.cancelled() => return Ok(()),
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
