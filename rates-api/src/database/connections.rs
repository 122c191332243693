//! A pool of connections, each used by one at a time.

use std::time::Duration;

use deadpool::managed::{
    self, BuildError, Manager as _, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult,
};

use super::address::{Address, AddressError};
use super::connect::{ConnectError, Session, connect};

/// A connection that goes back to the pool when it is dropped, and is thrown away if it has ended meanwhile.
pub type Connection = Object<Maker>;

/// Making one: a name look-up, TCP, SCRAM.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Connections(Pool<Maker>);

pub struct Maker {
    address: Address,
    application_name: &'static str,
    prepare: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("a new connection to the database cannot be prepared")]
    Prepare(#[from] tokio_postgres::Error),
    #[error("no connection became free in time")]
    Busy,
}

impl Connections {
    /// A pool of at most that many connections, which are made as they are needed; each begins with the statements of
    /// `prepare`.
    ///
    /// # Errors
    /// As the pool's builder does: with the settings made here, never.
    pub fn new(
        address: &Address,
        application_name: &'static str,
        size: usize,
        prepare: String,
    ) -> Result<Self, BuildError> {
        let maker = Maker {
            address: address.clone(),
            application_name,
            prepare,
        };
        Pool::builder(maker).max_size(size).build().map(Self)
    }

    /// A connection; waits for one to become free for at most the given time.
    ///
    /// # Errors
    /// When the database cannot be reached, or all connections stay in use.
    pub async fn get(&self, within: Duration) -> Result<Connection, ConnectionError> {
        match tokio::time::timeout(within, self.0.get()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(_)) | Err(_) => Err(ConnectionError::Busy),
        }
    }

    /// Makes a connection and ends it again: a server that is stopping takes none.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn probe(&self) -> Result<(), ConnectionError> {
        self.0.manager().create().await.map(drop)
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
    type Error = ConnectionError;

    async fn create(&self) -> Result<Session, ConnectionError> {
        let mut config = self.address.config()?;
        config
            .application_name(self.application_name)
            .connect_timeout(CONNECT_TIMEOUT);
        let session = connect(&config, CONNECT_TIMEOUT).await?;
        session.client.batch_execute(&self.prepare).await?;
        Ok(session)
    }

    /// A transaction or `COPY` that was dropped has rolled itself back.
    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<ConnectionError> {
        if session.client.is_closed() {
            return Err(RecycleError::message("the connection has ended"));
        }
        Ok(())
    }
}
