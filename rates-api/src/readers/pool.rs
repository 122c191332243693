//! The connections that reads share: a few, each with many queries under way at once, replaced when they fail.
//!
//! A query knows nothing of connections. It is tried, and tried again on another one when its connection was lost,
//! until the request's deadline.

mod reader;
mod slot;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_util::task::AbortOnDropHandle;

use reader::Reader;
pub use reader::Statement;
use slot::Slot;

use crate::database::{Address, is_lost};
use crate::readiness::Readiness;
use crate::report::chain;

/// How reads use the database.
#[derive(Debug, Clone, clap::Args)]
pub struct ReaderSettings {
    /// Connections that all reads share; each has many queries under way at once
    #[arg(long, env = "RATES_READ_CONNECTIONS", default_value = "3", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub read_connections: u16,

    /// Seconds that one query may take, and a connection may be silent, before it is tried on another
    #[arg(
        long,
        env = "RATES_QUERY_TIMEOUT_SECONDS",
        default_value = "5",
        value_parser = crate::cli::seconds,
        value_name = "SECONDS"
    )]
    pub query_timeout_seconds: Duration,

    /// Seconds that making a connection may take
    #[arg(
        long,
        env = "RATES_CONNECT_TIMEOUT_SECONDS",
        default_value = "3",
        value_parser = crate::cli::seconds,
        value_name = "SECONDS"
    )]
    pub connect_timeout_seconds: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("no connection to the database answered before the deadline")]
    Unavailable,
    #[error("the database refused the query")]
    Refused(#[source] tokio_postgres::Error),
}

/// The connections that are up, by slot.
type Live = Vec<Option<Arc<Reader>>>;

/// The shared connections; dropped, they end.
pub struct Readers {
    live: watch::Receiver<Live>,
    next: AtomicUsize,
    query_timeout: Duration,
    _slots: Vec<AbortOnDropHandle<()>>,
}

impl Readers {
    /// Starts to connect, and returns at once.
    #[must_use]
    pub fn start(address: &Address, settings: &ReaderSettings, readiness: &Arc<Readiness>) -> Self {
        let count = usize::from(settings.read_connections);
        let sender = Arc::new(watch::Sender::new(vec![None; count]));
        let live = sender.subscribe();
        let slots = (0..count)
            .map(|index| {
                let slot = Slot {
                    index,
                    address: address.clone(),
                    settings: settings.clone(),
                    readiness: Arc::clone(readiness),
                    live: Arc::clone(&sender),
                };
                AbortOnDropHandle::new(tokio::spawn(slot.keep_connected()))
            })
            .collect();
        let query_timeout = settings.query_timeout_seconds;
        Self {
            live,
            next: AtomicUsize::new(0),
            query_timeout,
            _slots: slots,
        }
    }

    /// The rows of a prepared statement.
    ///
    /// # Errors
    /// When no connection answers before the deadline, or the database refuses the query itself.
    pub async fn query(
        &self,
        statement: Statement,
        parameters: &[&(dyn ToSql + Sync)],
        deadline: Instant,
    ) -> Result<Vec<Row>, ReadError> {
        let mut refused = false;
        loop {
            let reader = self.acquire(deadline).await.ok_or(ReadError::Unavailable)?;
            let attempt = deadline.min(Instant::now() + self.query_timeout);
            match timeout_at(attempt, reader.query(statement, parameters)).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = chain(&error),
                        "a query failed; its connection is replaced"
                    );
                    reader.retire();
                    // A statement that was prepared before a migration may fail once, never twice.
                    if !is_passing(&error) && std::mem::replace(&mut refused, true) {
                        return Err(ReadError::Refused(error));
                    }
                }
                Err(_) if reader.is_silent_for(self.query_timeout) => {
                    tracing::warn!("a connection to the database is silent; it is replaced");
                    reader.retire();
                }
                // A live connection is always to be had, so nothing else ends this.
                Err(_) if Instant::now() >= deadline => return Err(ReadError::Unavailable),
                Err(_) => {}
            }
        }
    }

    /// How many connections are up, and how many there are to be.
    #[must_use]
    pub fn live_and_slots(&self) -> (usize, usize) {
        let live = self.live.borrow();
        (
            live.iter().flatten().filter(|reader| reader.is_live()).count(),
            live.len(),
        )
    }

    /// A live connection, the next in turn; waits for one until the deadline.
    async fn acquire(&self, deadline: Instant) -> Option<Arc<Reader>> {
        if let Some(reader) = self.pick(&self.live.borrow()) {
            return Some(reader);
        }
        let mut live = self.live.clone();
        loop {
            if let Some(reader) = self.pick(&live.borrow_and_update()) {
                return Some(reader);
            }
            timeout_at(deadline, live.changed()).await.ok()?.ok()?;
        }
    }

    fn pick(&self, live: &Live) -> Option<Arc<Reader>> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        (0..live.len())
            .filter_map(|offset| live[(start.wrapping_add(offset)) % live.len()].as_ref())
            .find(|reader| reader.is_live())
            .cloned()
    }
}

/// The server's own deadline for a query ended it, or another transaction did: it may be asked again.
fn is_passing(error: &tokio_postgres::Error) -> bool {
    is_lost(error)
        || [
            Some(&SqlState::QUERY_CANCELED),
            Some(&SqlState::T_R_SERIALIZATION_FAILURE),
        ]
        .contains(&error.code())
}
