//! Queries that have a connection to themselves: those that may take long, or wait for a lock. On a shared connection
//! they would hold up all others.
//!
//! There are only as many at a time as there are connections. One whose deadline passes, or that nobody waits for any
//! more, is cancelled in the database, and is not sent again.

use std::ops::Deref;
use std::time::Duration;

use deadpool::managed::{BuildError, Object};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{NoTls, Row};

use super::connections::{Connection, ConnectionError, Connections};
use super::fault::is_lost;
use super::timelines::{Origin, Primary};
use crate::report::chain;

/// How long a database that is away is left alone before it is asked again.
const AGAIN: Duration = Duration::from_millis(100);

/// How long cancelling may take before the connection is closed all the same.
const GRACE: Duration = Duration::from_secs(1);

pub struct Exclusive(Connections);

#[derive(Debug, thiserror::Error)]
pub enum ExclusiveError {
    #[error("all connections for such queries were in use until the deadline")]
    Busy,
    #[error("the query was not answered before the deadline")]
    TooSlow,
    #[error("the database was not reached before the deadline")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the database refused the query")]
    Refused(#[source] tokio_postgres::Error),
}

impl Exclusive {
    /// At most `size` queries at a time. The server gives each up after `timeout`, too, and writes nothing for it.
    ///
    /// # Errors
    /// As the pool's builder does: with the settings made here, never.
    pub fn new(
        primary: &Primary,
        application_name: &'static str,
        size: usize,
        timeout: Duration,
        settings: &str,
    ) -> Result<Self, BuildError> {
        let prepare = format!(
            "SET statement_timeout = {}; SET default_transaction_read_only = on; SET jit = off; {settings}",
            timeout.as_millis().max(1)
        );
        Connections::new(primary, application_name, size, prepare).map(Self)
    }

    /// The rows of a statement, and the timeline that they are of.
    ///
    /// # Errors
    /// When the database was not reached, no connection was free, or the query was not answered before the deadline; or
    /// when the database refuses the query itself.
    pub async fn query(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        deadline: Instant,
    ) -> Result<(Vec<Row>, Option<Origin>), ExclusiveError> {
        loop {
            let error = match self.try_query(statement, parameters, deadline).await {
                Err(ExclusiveError::Unreachable(error)) => error,
                outcome => return outcome,
            };
            if Instant::now() + AGAIN >= deadline {
                return Err(ExclusiveError::Unreachable(error));
            }
            tracing::debug!(error = chain(&*error), "a query waits for the database");
            sleep(AGAIN).await;
        }
    }

    async fn try_query(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        deadline: Instant,
    ) -> Result<(Vec<Row>, Option<Origin>), ExclusiveError> {
        let within = deadline.saturating_duration_since(Instant::now());
        let mut running = Running(Some(self.0.get(within).await?));
        let Some(connection) = &running.0 else {
            return Err(ExclusiveError::Busy);
        };
        let outcome = timeout_at(deadline, connection.client.query_typed(statement, parameters))
            .await
            .map_err(|_| ExclusiveError::TooSlow)?;
        let (origin, is_superseded) = (connection.origin(), connection.is_superseded());
        // It was answered: there is nothing to cancel.
        running.0 = None;
        if is_superseded {
            return Err(ExclusiveError::Unreachable("the server was superseded".into()));
        }
        let rows = outcome.map_err(|error| match error.code() {
            Some(&SqlState::QUERY_CANCELED) => ExclusiveError::TooSlow,
            _ if is_lost(&error) => ExclusiveError::Unreachable(error.into()),
            _ => ExclusiveError::Refused(error),
        })?;
        Ok((rows, origin))
    }
}

impl Deref for Exclusive {
    type Target = Connections;

    fn deref(&self) -> &Connections {
        &self.0
    }
}

impl From<ConnectionError> for ExclusiveError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Busy => Self::Busy,
            other => Self::Unreachable(other.into()),
        }
    }
}

/// A connection with a query on it, which is cancelled if this is dropped before it was answered.
struct Running(Option<Connection>);

impl Drop for Running {
    fn drop(&mut self) {
        let Some(connection) = self.0.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(cancel(connection))),
            Err(_) => drop(Object::take(connection)),
        }
    }
}

/// Until the query is cancelled its connection counts as one in use.
async fn cancel(connection: Connection) {
    let token = connection.client.cancel_token();
    let _ = timeout(GRACE, token.cancel_query(NoTls)).await;
    drop(Object::take(connection));
}
