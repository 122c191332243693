//! The connections to one server, replaced when they fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_util::task::AbortOnDropHandle;

use super::error::ReadError;
use super::reader::Reader;
use super::settings::ReaderSettings;
use super::supervisor::{ConnectionSupervisor, Live};
use crate::database::{Address, Primary, Server, Timelines, is_lost};
use crate::readiness::Readiness;
use crate::report::chain;

/// Dropped, the connections end.
pub struct Pool {
    live: watch::Receiver<Live>,
    next: AtomicUsize,
    losses: Arc<AtomicU64>,
    query_timeout: Duration,
    _supervisors: Vec<AbortOnDropHandle<()>>,
}

impl Pool {
    /// Starts to connect, and says whether the process can serve.
    pub fn of_primary(
        primary: &Primary,
        settings: &ReaderSettings,
        statements: &[&'static str],
        readiness: &Arc<Readiness>,
    ) -> Self {
        Self::start(Server::Primary, primary, settings, statements, readiness)
    }

    /// Starts to connect. Nothing depends on whether that succeeds.
    pub fn of_standby(
        address: &Address,
        timelines: &Timelines,
        settings: &ReaderSettings,
        statements: &[&'static str],
    ) -> Self {
        let standby = Primary {
            address: address.clone(),
            timelines: timelines.clone(),
        };
        Self::start(Server::Standby, &standby, settings, statements, &Arc::default())
    }

    fn start(
        server: Server,
        Primary { address, timelines }: &Primary,
        settings: &ReaderSettings,
        statements: &[&'static str],
        readiness: &Arc<Readiness>,
    ) -> Self {
        let count = usize::from(settings.read_connections);
        let sender = Arc::new(watch::Sender::new(vec![None; count]));
        let live = sender.subscribe();
        let losses = Arc::<AtomicU64>::default();
        let supervisors = (0..count)
            .map(|index| {
                let supervisor = ConnectionSupervisor {
                    index,
                    server,
                    address: address.clone(),
                    timelines: timelines.clone(),
                    settings: settings.clone(),
                    statements: statements.into(),
                    readiness: Arc::clone(readiness),
                    live: Arc::clone(&sender),
                    losses: Arc::clone(&losses),
                };
                AbortOnDropHandle::new(tokio::spawn(supervisor.keep_connected()))
            })
            .collect();
        let query_timeout = settings.query_timeout_seconds;
        Self {
            live,
            next: AtomicUsize::new(0),
            losses,
            query_timeout,
            _supervisors: supervisors,
        }
    }

    /// The rows of a statement, and the identifier of the cluster that gave them: of a primary that was not superseded when
    /// they came.
    ///
    /// # Errors
    /// When no connection answers before the deadline, or the database refuses the query itself.
    pub async fn query(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
        deadline: Instant,
    ) -> Result<(Vec<Row>, i64), ReadError> {
        let mut refused = false;
        loop {
            let reader = self.acquire(deadline).await.ok_or(ReadError::Unavailable)?;
            // The server gives a query up first, unless it is the connection that does not answer.
            let attempt = deadline.min(Instant::now() + self.query_timeout * 5 / 4);
            match timeout_at(attempt, reader.query(statement, parameters)).await {
                Ok(Ok(_)) if reader.is_superseded() => {
                    tracing::warn!("an answer of a server that was superseded is not used");
                    reader.retire();
                }
                Ok(Ok(rows)) => return Ok((rows, reader.system())),
                Ok(Err(error)) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
                    return Err(ReadError::TooSlow);
                }
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
                // Others are answered: the query is what takes long, or those before it.
                Err(_) => return Err(ReadError::TooSlow),
            }
        }
    }

    /// A live connection, the next in turn, if there is one at the moment.
    pub fn live(&self) -> Option<Arc<Reader>> {
        self.pick(&self.live.borrow())
    }

    /// How many connections have ended so far. What is answered on a connection that was made after another ended comes with
    /// a higher number than what was answered before.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// How many connections are up, and how many there are to be.
    pub fn live_and_slots(&self) -> (usize, usize) {
        let live = self.live.borrow();
        (
            live.iter().flatten().filter(|reader| reader.is_live()).count(),
            live.len(),
        )
    }

    /// A live connection, the next in turn; waits for one until the deadline, after which none is given out: who asks
    /// again and again on one that is live and slow has no other end.
    async fn acquire(&self, deadline: Instant) -> Option<Arc<Reader>> {
        if Instant::now() >= deadline {
            return None;
        }
        if let Some(reader) = self.live() {
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

/// Another transaction ended it, or it is a standby by now: it may be asked again.
fn is_passing(error: &tokio_postgres::Error) -> bool {
    is_lost(error)
        || [
            Some(&SqlState::T_R_SERIALIZATION_FAILURE),
            Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE),
        ]
        .contains(&error.code())
}
