//! A pool of connections, each used by one at a time.

use std::time::Duration;

use deadpool::managed::{
    self, BuildError, Manager as _, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult,
};

use super::address::AddressError;
use super::connect::{ConnectError, Session, connect};
use super::timelines::{Origin, Primary, Superseded, timeline};

/// A connection that goes back to the pool when it is dropped, and is thrown away if it has ended meanwhile.
pub type Connection = Object<Maker>;

/// Making one: a name look-up, TCP, SCRAM.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Connections(Pool<Maker>);

pub struct Maker {
    primary: Primary,
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
    #[error("the server is a standby")]
    Standby,
    #[error(transparent)]
    Superseded(#[from] Superseded),
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
        primary: &Primary,
        application_name: &'static str,
        size: usize,
        prepare: String,
    ) -> Result<Self, BuildError> {
        let maker = Maker {
            primary: primary.clone(),
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

    /// Makes a connection and ends it again: a server that is stopping takes none. Gives the timeline that it led to.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn probe(&self) -> Result<Option<Origin>, ConnectionError> {
        Ok(self.0.manager().create().await?.origin())
    }

    /// Connections in use, and connections there are.
    #[must_use]
    pub fn used_and_open(&self) -> (usize, usize) {
        let status = self.0.status();
        (status.size.saturating_sub(status.available), status.size)
    }

    /// How many wait for a connection because all are in use.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.status().waiting
    }

    /// How many connections there may be.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.status().max_size
    }
}

/// Whether the server is in recovery, its cluster, and the timeline that it writes.
const ORIGIN: &str = "SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()), \
     CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END";

impl Maker {
    /// Refuses a server that is not the primary, as far as can be known.
    async fn admit(&self, session: &mut Session) -> Result<(), ConnectionError> {
        let timelines = &self.primary.timelines;
        let rows = session.client.query_typed(ORIGIN, &[]).await?;
        let row = rows.first().filter(|row| !row.get::<_, bool>(0));
        let Some(row) = row else {
            timelines.refused_in_recovery();
            return Err(ConnectionError::Standby);
        };
        let origin = Origin {
            system: row.get(1),
            timeline: timeline(row.get(2)),
        };
        Ok(session.admit(origin, timelines)?)
    }
}

impl managed::Manager for Maker {
    type Type = Session;
    type Error = ConnectionError;

    async fn create(&self) -> Result<Session, ConnectionError> {
        let mut config = self.primary.address.config()?;
        config
            .application_name(self.application_name)
            .connect_timeout(CONNECT_TIMEOUT);
        let mut session = connect(&config, CONNECT_TIMEOUT).await?;
        self.admit(&mut session).await?;
        session.client.batch_execute(&self.prepare).await?;
        Ok(session)
    }

    /// A transaction or `COPY` that was dropped has rolled itself back.
    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<ConnectionError> {
        if session.client.is_closed() || session.is_superseded() {
            return Err(RecycleError::message("the connection has ended"));
        }
        Ok(())
    }
}
