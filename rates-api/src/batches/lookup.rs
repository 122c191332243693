//! Looking at batches: their state by id or page, and how many are still to be worked on.
//!
//! The connections are none of those that batches come in by, and each question has an end: however many look, and
//! whatever they wait for, batches are taken in.

use std::time::Duration;

use deadpool::managed::BuildError;
use tokio::time::Instant;
use tokio_postgres::types::Type;

use super::batch::{Batch, COLUMNS, UnknownStatus};
use crate::database::{Address, Connections, Exclusive, ExclusiveError};

/// A look takes a millisecond.
const CONNECTIONS: usize = 2;

pub struct Lookup {
    queries: Exclusive,
    patience: Duration,
}

/// What is still to be done with batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Batches that processes of the release before have stored and did not decide yet.
    pub queued: i64,
    /// Applied batches whose sums are not all folded yet.
    pub unfolded: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error(transparent)]
    Query(#[from] ExclusiveError),
    #[error(transparent)]
    UnknownStatus(#[from] UnknownStatus),
}

impl Lookup {
    /// Each look may take as long as `patience`, waiting for a connection included.
    ///
    /// # Errors
    /// As the pool's builder does: with the settings made here, never.
    pub fn new(address: &Address, patience: Duration) -> Result<Self, BuildError> {
        let queries = Exclusive::new(address, "rates-api lookup", CONNECTIONS, patience, "")?;
        Ok(Self { queries, patience })
    }

    /// A batch by its id.
    ///
    /// # Errors
    /// When the database does not answer in time.
    pub async fn find(&self, id: i64) -> Result<Option<Batch>, LookupError> {
        let statement = format!("SELECT {COLUMNS} FROM rates_internal.batches WHERE id = $1");
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&id, Type::INT8)];
        let rows = self
            .queries
            .query(&statement, &parameters, Instant::now() + self.patience)
            .await?;
        Ok(rows.first().map(Batch::of_row).transpose()?)
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
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&below, Type::INT8), (&limit, Type::INT8)];
        let rows = self
            .queries
            .query(&statement, &parameters, Instant::now() + self.patience)
            .await?;
        Ok(rows.iter().map(Batch::of_row).collect::<Result<_, _>>()?)
    }

    /// Counts what is still to be done, by indexes that hold nothing else.
    ///
    /// # Errors
    /// When the database does not answer within the given time.
    pub async fn backlog(&self, within: Duration) -> Result<Backlog, ExclusiveError> {
        let statement = "SELECT
             (SELECT count(*) FROM rates_internal.batches WHERE status IN ('queued', 'running')),
             (SELECT count(*) FROM rates_internal.batches WHERE status = 'applied' AND folded_at IS NULL)";
        let rows = self
            .queries
            .query(statement, &[], Instant::now() + within)
            .await?;
        Ok(rows.first().map_or_else(Backlog::default, |row| Backlog {
            queued: row.get(0),
            unfolded: row.get(1),
        }))
    }

    /// The connections that it uses.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.queries
    }
}
