//! Reads of the database: by a few connections that all of them share, each with many queries under way at once.
//!
//! A query knows nothing of connections or servers. It goes to the standby, if there is one that has all that the query
//! has to see, and else to the primary; there it is tried, and tried again on another connection when its own was lost,
//! until the request's deadline. One that took too long is not tried again.
//!
//! What takes more than some milliseconds would hold up all that share its connection. It has one to itself, of a few, and
//! waits for one that is free.

mod error;
mod pool;
mod position;
mod reader;
mod settings;
mod standby;
mod supervisor;

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::BuildError;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::database::{Address, Connections, Exclusive, Primary, Timelines};
use crate::readiness::Readiness;
pub use error::ReadError;
use pool::Pool;
pub use position::Position;
pub use settings::ReaderSettings;
use standby::Standby;
pub use standby::StandbyReads;

/// Plans of what has a connection to itself: by the index alone, however much it is, and on one processor, so that others
/// are left to the rest.
const PLANS: &str =
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET max_parallel_workers_per_gather = 0";

/// All that reads need; dropped, its connections end.
pub struct Readers {
    primary: Pool,
    timelines: Timelines,
    standby: Option<Standby>,
    expensive: Exclusive,
}

impl Readers {
    /// Starts to connect, and returns at once. The statements are prepared on every shared connection. No read takes
    /// longer than `patience`.
    ///
    /// # Errors
    /// As the pool's builder does: with the settings made here, never.
    pub fn start(
        primary: &Primary,
        standby: Option<&Address>,
        settings: &ReaderSettings,
        statements: &[&'static str],
        patience: Duration,
        readiness: &Arc<Readiness>,
    ) -> Result<Self, BuildError> {
        let expensive = usize::from(settings.region_read_connections);
        Ok(Self {
            primary: Pool::of_primary(primary, settings, statements, readiness),
            standby: standby.map(|address| Standby::start(address, &primary.timelines, settings, statements)),
            timelines: primary.timelines.clone(),
            expensive: Exclusive::new(primary, "rates-api regions", expensive, patience, PLANS)?,
        })
    }

    /// The rows of a statement, as of `position` or later; without one, as of now. One that was not prepared before takes
    /// another round trip.
    ///
    /// # Errors
    /// When no connection answers before the deadline, or the database refuses the query itself.
    pub async fn query(
        &self,
        statement: &str,
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

    /// The rows of a statement that may take long: of the primary, as of now.
    ///
    /// # Errors
    /// As for [`Readers::query`]; and when other such statements took all of its time.
    pub async fn query_expensive(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
        deadline: Instant,
    ) -> Result<Vec<Row>, ReadError> {
        let (rows, _) = self.expensive.query(statement, parameters, deadline).await?;
        Ok(rows)
    }

    /// The connections of what may take long.
    #[must_use]
    pub fn expensive(&self) -> &Connections {
        &self.expensive
    }

    /// What the primary has now: its snapshot as text, and its position. A server that crashed and recovered may give
    /// transactions' ids again without having started anew, and ended all connections: their number is part of the text. The
    /// question fails on a server in recovery, and its
    /// answer has the timeline, so that one which was superseded is not used.
    ///
    /// # Errors
    /// As for [`Readers::query`].
    pub async fn now(&self, deadline: Instant) -> Result<(String, Position), ReadError> {
        loop {
            let losses = self.primary.losses();
            let (rows, system) = self.primary.query(position::OF_PRIMARY, &[], deadline).await?;
            let row = rows.first().ok_or(ReadError::Unavailable)?;
            let position = Position::of_primary(row, system);
            if self.timelines.admit(position.origin).is_ok() {
                let snapshot: &str = row.get(0);
                return Ok((format!("{snapshot} {losses}"), position));
            }
        }
    }

    /// What is known of the database's history.
    #[must_use]
    pub fn timelines(&self) -> &Timelines {
        &self.timelines
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
