//! One batch from its claim to its decision: claimed, read, then decided or given up.

use std::time::Duration;

use axum::body::BodyDataStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::deadlines::{Deadlines, ProcessEnd};
use super::request::BatchRequest;
use super::transfer::{Destination, read};
use crate::batches::batch::{Batch, Status};
use crate::batches::decoder::DecodedBatch;
use crate::batches::error::BatchError;
use crate::batches::lease::Lease;
use crate::batches::locked_connection::LockedConnection;
use crate::batches::metrics::BatchMetrics;
use crate::batches::ports::Ports;
use crate::batches::settings::BatchSettings;
use crate::batches::store::{self, BatchClaim};
use crate::database::Connections;
use crate::report::chain;

/// What every batch is taken in with.
pub struct Lifecycle {
    pub connections: Connections,
    pub settings: BatchSettings,
    pub request_timeout: Duration,
    pub metrics: BatchMetrics,
    pub process_end: ProcessEnd,
}

/// A claim that took longer has waited for a stop of the server.
const WAITED: Duration = Duration::from_millis(50);

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
        let (claim, ports, mut connection) = self.claim(request, deadlines.claimed).await?;
        let id = match claim {
            BatchClaim::Known(batch) => {
                drop(connection);
                let batch = self.repeat(batch, request, body, deadlines.content).await?;
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
    /// batches that wait get the lock, and are cut off a moment later. By then the server takes no new connection, so one
    /// is tried before anything of the body is read.
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
                self.connections.probe().await?;
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
        connection: &mut LockedConnection,
    ) -> Result<Batch, BatchError> {
        let lease = Lease::keep(self.connections.clone(), id, self.settings.lease_seconds);
        let destination = Destination {
            connection,
            ports,
            progress: lease.progress(),
        };
        let reading = read(id, request, body, Some(destination), &self.settings);
        let decoded = tokio::select! {
            decoded = self.in_time(deadlines.content, reading) => decoded?,
            lost = lease.lost() => return Err(lost.into()),
        };
        self.decide(id, &decoded, deadlines.decided, connection).await
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
    async fn decide(
        &self,
        id: i64,
        decoded: &DecodedBatch,
        deadline: Instant,
        connection: &mut LockedConnection,
    ) -> Result<Batch, BatchError> {
        let mut deadline = deadline.min(Instant::now() + self.request_timeout);
        let mut first = Some(connection);
        loop {
            deadline = self.process_end.limit_decision(deadline);
            let connection = first.take();
            let outcome = async {
                let batch = if let Some(connection) = connection {
                    store::decide(connection.client()?, id, decoded).await?
                } else {
                    let mut connection = self.connections.get(self.request_timeout).await?;
                    store::decide(&mut connection.client, id, decoded).await?
                };
                Ok::<_, BatchError>(batch)
            };
            let source = match timeout_at(deadline, outcome).await {
                Ok(Err(BatchError::DatabaseLost(error))) => error,
                Ok(outcome) => return outcome,
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

    /// Gives a batch up that could not be finished, unless it was: then that is its answer after all.
    async fn give_up(&self, id: i64, error: BatchError, deadline: Instant) -> Result<Batch, BatchError> {
        let given_up = async {
            let connection = self.connections.get(self.request_timeout).await?;
            Ok::<_, BatchError>(store::give_up(&connection.client, id).await?)
        };
        let deadline = deadline.min(Instant::now() + self.settings.lease_seconds);
        match (timeout_at(deadline, given_up).await, error) {
            (Ok(Ok(Some(batch))), _) => Ok(batch),
            (Ok(Ok(None)), BatchError::InDoubt { source, .. }) => Err(BatchError::DatabaseLost(source)),
            (Ok(Ok(None)), error) => Err(error),
            (_, error) => {
                tracing::warn!(batch = id, "a batch is left to its lease");
                Err(error)
            }
        }
    }

    /// What the first request with this key was answered, if this one has the same content.
    async fn repeat(
        &self,
        batch: Batch,
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
        if decoded.checksum == *checksum {
            Ok(batch)
        } else {
            Err(BatchError::KeyReused)
        }
    }
}
