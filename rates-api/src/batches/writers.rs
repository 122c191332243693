//! The connections of batches: a pool of their own, so that neither batches nor reads take the other's.

use std::time::Duration;

use deadpool::managed::{self, BuildError, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};

use crate::database::{Address, AddressError, ConnectError, Session, connect};

/// A connection that goes back to the pool when it is dropped, and is thrown away if it has ended meanwhile.
pub type Writer = Object<Maker>;

/// Making one: a name look-up, TCP, SCRAM.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A transaction that nobody goes on with, say of a frozen process, lets go of its locks.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Writers(Pool<Maker>);

pub struct Maker {
    address: Address,
    statement_timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("a new connection to the database cannot be prepared")]
    Prepare(#[from] tokio_postgres::Error),
    #[error("no connection became free in time")]
    Busy,
}

impl Writers {
    /// A pool of at most that many connections, which are made as they are needed.
    ///
    /// # Errors
    /// As the pool's builder does: with the settings made here, never.
    pub fn new(address: &Address, size: usize, statement_timeout: Duration) -> Result<Self, BuildError> {
        let maker = Maker {
            address: address.clone(),
            statement_timeout,
        };
        Pool::builder(maker).max_size(size).build().map(Self)
    }

    /// A connection; waits for one to become free for at most the given time.
    ///
    /// # Errors
    /// When the database cannot be reached, or all connections stay in use.
    pub async fn get(&self, within: Duration) -> Result<Writer, WriterError> {
        match tokio::time::timeout(within, self.0.get()).await {
            Ok(Ok(writer)) => Ok(writer),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(_)) | Err(_) => Err(WriterError::Busy),
        }
    }

    /// Connections in use, and connections there are.
    #[must_use]
    pub fn used_and_open(&self) -> (usize, usize) {
        let status = self.0.status();
        (status.size.saturating_sub(status.available), status.size)
    }

    /// How many connections there may be.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.status().max_size
    }
}

impl managed::Manager for Maker {
    type Type = Session;
    type Error = WriterError;

    async fn create(&self) -> Result<Session, WriterError> {
        let mut config = self.address.config()?;
        config
            .application_name("rates-api batches")
            .connect_timeout(CONNECT_TIMEOUT);
        let session = connect(&config, CONNECT_TIMEOUT).await?;
        // What is not visible yet need not be on disk: the commit that makes it visible waits for all before it.
        let settings = format!(
            "SET synchronous_commit = off; SET jit = off; SET statement_timeout = {}; \
             SET idle_in_transaction_session_timeout = {}",
            self.statement_timeout.as_millis().max(1),
            IDLE_TIMEOUT.as_millis()
        );
        session.client.batch_execute(&settings).await?;
        Ok(session)
    }

    /// A transaction or `COPY` that was dropped has rolled itself back.
    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<WriterError> {
        if session.client.is_closed() {
            return Err(RecycleError::message("the connection has ended"));
        }
        Ok(())
    }
}
