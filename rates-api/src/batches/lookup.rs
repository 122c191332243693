//! Looking at batches: their state by id or page, and how many are still to be worked on.
//!
//! The connections are none of those that batches come in by, and each question has an end: however many look, and
//! whatever they wait for, batches are taken in.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::BuildError;
use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type};

use super::batch::{Batch, COLUMNS, UnknownStatus};
use super::confirmations::{ConfirmationError, Confirmations};
use crate::database::{Connections, Exclusive, ExclusiveError, Primary};

/// A look takes a millisecond.
const CONNECTIONS: usize = 2;

pub struct Lookup {
    queries: Exclusive,
    confirmations: Arc<Confirmations>,
    patience: Duration,
}

/// What is still to be done with batches.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Backlog {
    /// Batches that processes of the release before have stored and did not decide yet.
    pub queued: i64,
    /// Applied batches whose sums are not all folded yet.
    pub unfolded: i64,
    /// The seconds since the first of those was applied; 0 where there is none.
    pub oldest_unfolded: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error(transparent)]
    Query(#[from] ExclusiveError),
    #[error(transparent)]
    UnknownStatus(#[from] UnknownStatus),
    #[error(transparent)]
    Unconfirmed(#[from] ConfirmationError),
}

impl Lookup {
    /// Each look may take as long as `patience`, waiting for a connection included.
    ///
    /// # Errors
    /// As the pool's builder does: with the settings made here, never.
    pub fn new(
        primary: &Primary,
        confirmations: Arc<Confirmations>,
        patience: Duration,
    ) -> Result<Self, BuildError> {
        let queries = Exclusive::new(primary, "rates-api lookup", CONNECTIONS, patience, "")?;
        Ok(Self {
            queries,
            confirmations,
            patience,
        })
    }

    /// A batch by its id.
    ///
    /// # Errors
    /// When the database does not answer in time.
    pub async fn find(&self, id: i64) -> Result<Option<Batch>, LookupError> {
        let statement = format!("SELECT {COLUMNS} FROM rates_internal.batches WHERE id = $1");
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&id, Type::INT8)];
        let batches = self.decided(&statement, &parameters).await?;
        Ok(batches.into_iter().next())
    }

    /// Batches, the newest first, beginning below an id.
    ///
    /// # Errors
    /// When the database does not answer in time.
    pub async fn list(&self, below: Option<i64>, limit: i64) -> Result<Vec<Batch>, LookupError> {
        let statement = format!(
            "SELECT {COLUMNS} FROM rates_internal.batches
             WHERE ($1::bigint IS NULL OR id < $1) AND status <> 'abandoned' ORDER BY id DESC LIMIT $2"
        );
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&below, Type::INT8), (&limit, Type::INT8)];
        self.decided(&statement, &parameters).await
    }

    /// The batches of a query. What is told of a batch that is decided cannot be taken back by a failover.
    async fn decided(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Batch>, LookupError> {
        let deadline = Instant::now() + self.patience;
        let (rows, origin) = self.queries.query(statement, parameters, deadline).await?;
        let batches: Vec<Batch> = rows.iter().map(Batch::of_row).collect::<Result<_, _>>()?;
        if batches.iter().any(Batch::is_decided) {
            self.confirmations.confirm(origin, deadline).await?;
        }
        Ok(batches)
    }

    /// Counts what is still to be done, by indexes that hold nothing else.
    ///
    /// # Errors
    /// When the database does not answer within the given time.
    pub async fn backlog(&self, within: Duration) -> Result<Backlog, ExclusiveError> {
        let statement = "SELECT
             (SELECT count(*) FROM rates_internal.batches WHERE status IN ('queued', 'running')),
             count(*), coalesce(extract(epoch FROM clock_timestamp() - min(finished_at)), 0)::float8
             FROM rates_internal.batches WHERE status = 'applied' AND folded_at IS NULL";
        let (rows, _) = self
            .queries
            .query(statement, &[], Instant::now() + within)
            .await?;
        Ok(rows.first().map_or_else(Backlog::default, |row| Backlog {
            queued: row.get(0),
            unfolded: row.get(1),
            oldest_unfolded: row.get::<_, f64>(2).max(0.0),
        }))
    }

    /// The connections that it uses.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.queries
    }
}
