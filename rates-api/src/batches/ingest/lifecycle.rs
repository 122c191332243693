//! One batch from its claim to its decision: claimed, read, then decided or given up.

use std::sync::Arc;
use std::time::Duration;

use axum::body::BodyDataStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument as _;

use super::deadlines::{Deadlines, ProcessEnd};
use super::request::BatchRequest;
use super::transfer::{Destination, read};
use crate::batches::batch::{Batch, Status};
use crate::batches::confirmations::Confirmations;
use crate::batches::decoder::DecodedBatch;
use crate::batches::error::BatchError;
use crate::batches::lease::Lease;
use crate::batches::locked_connection::{GivenBack, LockedConnection};
use crate::batches::metrics::BatchMetrics;
use crate::batches::ports::Ports;
use crate::batches::settings::BatchSettings;
use crate::batches::store::{self, BatchClaim, GivenUp, StoreError};
use crate::database::{ConnectionError, Connections, Origin};
use crate::report::chain;

/// What every batch is taken in with.
pub struct Lifecycle {
    pub connections: Connections,
    pub confirmations: Arc<Confirmations>,
    pub settings: BatchSettings,
    pub request_timeout: Duration,
    pub metrics: BatchMetrics,
    pub process_end: ProcessEnd,
}

/// A claim that took longer has waited for a stop of the server.
const WAITED: Duration = Duration::from_millis(50);

/// Making a connection, and waiting for a free one, to give a batch up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause before the database is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

impl Lifecycle {
    /// Takes the batch in, or gives the answer that the first one with its key got.
    pub async fn run(
        &self,
        request: &BatchRequest,
        body: BodyDataStream,
        deadlines: Deadlines,
    ) -> Result<Batch, BatchError> {
        let (claim, ports, connection) = self.claim(request, deadlines.claimed).await?;
        let origin = connection.origin();
        let mut connection = Some(connection);
        let id = match claim {
            BatchClaim::Known(batch) => {
                drop(connection);
                let repeated = self.repeat(batch, origin, request, body, deadlines.content);
                let batch = repeated.await?;
                self.metrics.repeated();
                return Ok(batch);
            }
            BatchClaim::New(id) => id,
        };
        let began = Instant::now();
        let outcome = match self
            .read_and_decide(id, request, body, ports, deadlines, &mut connection)
            .await
        {
            Ok(batch) => Ok(batch),
            Err(error) => self.give_up(id, error, deadlines.settled).await,
        };
        match &outcome {
            Ok(batch) => {
                self.metrics.decided(batch.status, batch.rows);
                if request.asynchronous {
                    self.metrics.accepted();
                }
                let (status, rows) = (batch.status, batch.rows);
                let seconds = began.elapsed().as_secs_f64();
                tracing::info!(batch = id, ?status, rows, seconds, "a batch was taken in");
            }
            Err(error) => {
                tracing::info!(batch = id, reason = chain(error), "a batch was not taken in");
            }
        }
        outcome
    }

    /// Asks until the database answers or the time-out of a request is over: nothing of the body was read yet. A database
    /// that is about to be stopped has it wait, and then ends its connection; it goes on when the server is back.
    async fn claim(
        &self,
        request: &BatchRequest,
        deadline: Instant,
    ) -> Result<(BatchClaim, Ports, LockedConnection), BatchError> {
        let mut orphan = None;
        loop {
            let claiming = self.try_claim(request, deadline, &mut orphan);
            let error = match timeout_at(deadline, claiming).await {
                Ok(Err(BatchError::DatabaseLost(error))) => error,
                Ok(outcome) => return outcome,
                Err(elapsed) => return Err(BatchError::DatabaseLost(elapsed.into())),
            };
            if Instant::now() + RETRY_PAUSE >= deadline {
                return Err(BatchError::DatabaseLost(error));
            }
            tracing::debug!(error = chain(&*error), "a batch waits for the database");
            sleep(RETRY_PAUSE).await;
        }
    }

    /// `orphan` is a batch that was claimed before and not begun.
    ///
    /// A stop ends all sessions, one after the other. Where it ends the one first that holds the lock for itself, the
    /// batches that wait get the lock, and are cut off a moment later. By then the server takes no new connection, or the
    /// address leads to another that was promoted, so one is tried before anything of the body is read.
    async fn try_claim(
        &self,
        request: &BatchRequest,
        deadline: Instant,
        orphan: &mut Option<i64>,
    ) -> Result<(BatchClaim, Ports, LockedConnection), BatchError> {
        let within = deadline.saturating_duration_since(Instant::now());
        let mut connection = LockedConnection::new(self.connections.get(within).await?);
        let (writer, key) = (&request.writer, request.key.as_deref());
        let client = connection.client()?;
        if let Some(id) = *orphan {
            self.connections.probe().await?;
            store::give_up(client, id).await?;
            *orphan = None;
        }
        // Both are sent at once.
        let ports = async { Ports::read(client).await.map_err(BatchError::from) };
        let known = async { store::known(client, writer, key).await.map_err(BatchError::from) };
        let (ports, known) = tokio::try_join!(ports, known)?;
        let claim = if let Some(batch) = known {
            BatchClaim::Known(batch)
        } else {
            let lease = self.settings.lease_seconds;
            let began = Instant::now();
            let claim = store::claim(&mut connection, writer, key, request.asynchronous, lease).await?;
            if let BatchClaim::New(id) = claim
                && began.elapsed() > WAITED
            {
                *orphan = Some(id);
                if self.connections.probe().await? != connection.origin() {
                    return Err(StoreError::Superseded.into());
                }
                *orphan = None;
            }
            claim
        };
        Ok((claim, ports, connection))
    }

    async fn read_and_decide(
        &self,
        id: i64,
        request: &BatchRequest,
        body: BodyDataStream,
        ports: Ports,
        deadlines: Deadlines,
        connection: &mut Option<LockedConnection>,
    ) -> Result<Batch, BatchError> {
        let lease = Lease::keep(self.connections.clone(), id, self.settings.lease_seconds);
        let destination = Destination {
            connection: connection.as_mut().ok_or(GivenBack)?,
            ports,
            progress: lease.progress(),
        };
        let reading = read(id, request, body, Some(destination), &self.settings);
        let decoded = tokio::select! {
            decoded = self.in_time(deadlines.content, reading) => decoded?,
            lost = lease.lost() => return Err(lost.into()),
        };
        let connection = connection.take().ok_or(GivenBack)?;
        self.decide(id, decoded, deadlines.decided, connection).await
    }

    /// Waits for the content, but not beyond its time, nor until the process is cut off.
    async fn in_time<T>(
        &self,
        deadline: Instant,
        reading: impl Future<Output = Result<T, BatchError>>,
    ) -> Result<T, BatchError> {
        tokio::select! {
            read = timeout_at(deadline, reading) => {
                read.unwrap_or(Err(BatchError::TooLong(self.settings.max_batch_seconds)))
            }
            () = self.process_end.cuts_content() => Err(BatchError::Stopping),
        }
    }

    /// Decides the batch. If the connection is lost at that moment, what was decided is found out on another one.
    ///
    /// A decision that was begun goes on to its end, whoever still waits for it: its commit may wait for a standby, and if
    /// that were cancelled it would be seen on this server, and lost with it. Its connection is in use for as long.
    async fn decide(
        &self,
        id: i64,
        decoded: DecodedBatch,
        deadline: Instant,
        connection: LockedConnection,
    ) -> Result<Batch, BatchError> {
        let decoded = Arc::new(decoded);
        let mut deadline = deadline.min(Instant::now() + self.request_timeout);
        let mut first = Some(connection);
        loop {
            deadline = self.process_end.limit_decision(deadline);
            let deciding = match first.take() {
                Some(connection) => start_deciding(id, Arc::clone(&decoded), connection),
                None => self.start_deciding_again(id, Arc::clone(&decoded)),
            };
            let source = match timeout_at(deadline, deciding).await {
                Ok(Ok(Ok(batch))) => return Ok(batch),
                Ok(Ok(Err(DecideError::Store(source @ StoreError::Unconfirmed)))) => {
                    return Err(BatchError::Unconfirmed {
                        id,
                        source: source.into(),
                    });
                }
                // It is not here, or not all of it: no other attempt finds more.
                Ok(Ok(Err(DecideError::Store(
                    error @ (StoreError::Lost | StoreError::Incomplete { .. }),
                )))) => return Err(error.into()),
                Ok(Ok(Err(error))) => match BatchError::from(error) {
                    BatchError::DatabaseLost(error) => error,
                    error => return Err(error),
                },
                Ok(Err(panic)) => return Err(BatchError::Failed(panic.into())),
                Err(elapsed) => elapsed.into(),
            };
            if Instant::now() + RETRY_PAUSE >= deadline {
                return Err(BatchError::InDoubt { id, source });
            }
            tracing::warn!(
                batch = id,
                error = chain(&*source),
                "the decision of a batch is tried again"
            );
            sleep(RETRY_PAUSE).await;
        }
    }

    fn start_deciding_again(&self, id: i64, decoded: Arc<DecodedBatch>) -> Deciding {
        let (connections, within) = (self.connections.clone(), self.request_timeout);
        let deciding = async move {
            let mut connection = connections.get(within).await?;
            Ok(store::decide_again(&mut connection, id, &decoded).await?)
        };
        tokio::spawn(deciding.in_current_span())
    }

    /// Gives a batch up that could not be finished, unless it was: then that is its answer after all.
    ///
    /// Where the database is away its client is told at once, and the batch is given up as soon as that can be done: until
    /// then its key is in use.
    async fn give_up(&self, id: i64, error: BatchError, deadline: Instant) -> Result<Batch, BatchError> {
        let lease = Instant::now() + self.settings.lease_seconds;
        let deadline = match &error {
            BatchError::Unconfirmed { .. } => return Err(error),
            BatchError::DatabaseLost(_) => Instant::now() + RETRY_PAUSE,
            _ => deadline.min(lease),
        };
        let given_up = timeout_at(deadline, try_give_up(&self.connections, id)).await;
        match (given_up, error) {
            (Ok(Ok((GivenUp::Decided(batch), origin))), error) => {
                let confirmed = self.confirmations.confirm(origin, deadline).await;
                confirmed.map(|()| batch).map_err(|_| error)
            }
            (Ok(Ok((GivenUp::Abandoned, _))), BatchError::InDoubt { source, .. }) => {
                Err(BatchError::DatabaseLost(source))
            }
            (Ok(Ok((GivenUp::Abandoned, _))), error) => Err(error),
            (_, error) => {
                tracing::warn!(
                    batch = id,
                    "a batch is given up later, at the latest with its lease"
                );
                tokio::spawn(give_up_later(self.connections.clone(), id, lease).in_current_span());
                Err(error)
            }
        }
    }

    /// What the first request with this key was answered, if this one has the same content. The answer was read on that
    /// timeline, and is confirmed.
    async fn repeat(
        &self,
        batch: Batch,
        origin: Option<Origin>,
        request: &BatchRequest,
        body: BodyDataStream,
        deadline: Instant,
    ) -> Result<Batch, BatchError> {
        let Some(checksum) = batch
            .checksum
            .as_ref()
            .filter(|_| batch.status != Status::Receiving)
        else {
            return Err(BatchError::InProgress);
        };
        let reading = read(batch.id, request, body, None, &self.settings);
        let decoded = self.in_time(deadline, reading).await?;
        if decoded.checksum != *checksum {
            return Err(BatchError::KeyReused);
        }
        let deadline = Instant::now() + self.request_timeout;
        let confirmed = self
            .confirmations
            .confirm(origin, self.process_end.limit_decision(deadline));
        confirmed.await.map_err(|error| BatchError::Unconfirmed {
            id: batch.id,
            source: error.into(),
        })?;
        Ok(batch)
    }
}

/// A decision under way, which goes on when this is dropped.
type Deciding = JoinHandle<Result<Batch, DecideError>>;

fn start_deciding(id: i64, decoded: Arc<DecodedBatch>, mut connection: LockedConnection) -> Deciding {
    let deciding = async move { Ok(store::decide(connection.session()?, id, &decoded).await?) };
    tokio::spawn(deciding.in_current_span())
}

#[derive(Debug, thiserror::Error)]
enum DecideError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    GivenBack(#[from] GivenBack),
}

impl From<DecideError> for BatchError {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Connection(error) => error.into(),
            DecideError::Store(error) => error.into(),
            DecideError::GivenBack(error) => error.into(),
        }
    }
}

/// What came of it, and the timeline on which.
async fn try_give_up(connections: &Connections, id: i64) -> Result<(GivenUp, Option<Origin>), BatchError> {
    let connection = connections.get(PATIENCE).await?;
    let mut given_up = store::give_up(&connection.client, id).await?;
    // Its row may be locked for a moment only, by a lease that was being renewed.
    if matches!(given_up, GivenUp::BeingDecided) {
        sleep(RETRY_PAUSE).await;
        given_up = store::give_up(&connection.client, id).await?;
    }
    Ok((given_up, connection.origin()))
}

async fn give_up_later(connections: Connections, id: i64, end: Instant) {
    while Instant::now() < end {
        if let Ok((GivenUp::Abandoned | GivenUp::Decided(_), _)) = try_give_up(&connections, id).await {
            return;
        }
        sleep(RETRY_PAUSE).await;
    }
}
