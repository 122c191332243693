//! Reads of the database: by a few connections that all of them share, each with many queries under way at once.
//!
//! A query knows nothing of connections or servers. It goes to the standby, if there is one that has all that the query
//! has to see, and else to the primary; there it is tried, and tried again on another connection when its own was lost,
//! until the request's deadline.

mod pool;
mod position;
mod reader;
mod slot;
mod standby;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::database::Address;
use crate::readiness::Readiness;
use pool::Pool;
pub use position::Position;
pub use reader::Statement;
use standby::Standby;
pub use standby::StandbyReads;

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

/// All that reads need; dropped, its connections end.
pub struct Readers {
    primary: Pool,
    standby: Option<Standby>,
}

impl Readers {
    /// Starts to connect, and returns at once.
    #[must_use]
    pub fn start(
        primary: &Address,
        standby: Option<&Address>,
        settings: &ReaderSettings,
        readiness: &Arc<Readiness>,
    ) -> Self {
        Self {
            primary: Pool::of_primary(primary, settings, readiness),
            standby: standby.map(|address| Standby::start(address, settings)),
        }
    }

    /// The rows of a prepared statement, as of `position` or later; without one, as of now.
    ///
    /// # Errors
    /// When no connection answers before the deadline, or the database refuses the query itself.
    pub async fn query(
        &self,
        statement: Statement,
        parameters: &[&(dyn ToSql + Sync)],
        position: Option<&Position>,
        deadline: Instant,
    ) -> Result<Vec<Row>, ReadError> {
        if let (Some(standby), Some(position)) = (&self.standby, position)
            && let Some(rows) = standby.query(statement, parameters, position, deadline).await
        {
            return Ok(rows);
        }
        let (rows, _) = self.primary.query(statement, parameters, deadline).await?;
        Ok(rows)
    }

    /// What the primary has now: its snapshot as text, and its position.
    ///
    /// # Errors
    /// As for [`Readers::query`].
    pub async fn now(&self, deadline: Instant) -> Result<(String, Position), ReadError> {
        let (rows, system) = self.primary.query(Statement::Snapshot, &[], deadline).await?;
        let row = rows.first().ok_or(ReadError::Unavailable)?;
        Ok((row.get(0), Position::of_primary(row, system)))
    }

    /// Whether there is a standby to ask.
    #[must_use]
    pub fn have_standby(&self) -> bool {
        self.standby.is_some()
    }

    /// The connections, by the name of their pool: how many are up, and how many there are to be.
    pub fn pools(&self) -> impl Iterator<Item = (&'static str, usize, usize)> {
        let standby = self.standby.as_ref().map(|standby| ("standby", standby.pool()));
        std::iter::once(("reads", &self.primary))
            .chain(standby)
            .map(|(name, pool)| {
                let (live, slots) = pool.live_and_slots();
                (name, live, slots)
            })
    }

    /// What came of asking the standby.
    #[must_use]
    pub fn standby_reads(&self) -> StandbyReads {
        self.standby.as_ref().map(Standby::reads).unwrap_or_default()
    }
}
