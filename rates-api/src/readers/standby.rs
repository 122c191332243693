//! A server that may lag behind, and answers only what it surely has.

use std::time::Duration;

use futures::future::join;
use prometheus_client::registry::Registry;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::pool::Pool;
use super::position::{self, Position};
use super::reader::Reader;
use super::settings::ReaderSettings;
use crate::counters::Outcomes;
use crate::database::{Address, Timelines, is_lost};
use crate::report::chain;

/// A standby that takes longer is not waited for: the primary has the answer too.
const PATIENCE: Duration = Duration::from_millis(500);

/// The connections to it, and what came of asking.
pub struct Standby {
    pool: Pool,
    timelines: Timelines,
    reads: StandbyReads,
}

/// Reads that were sent to the standby, by what came of them.
#[derive(Debug, Clone)]
pub struct StandbyReads(Outcomes);

impl Default for StandbyReads {
    fn default() -> Self {
        Self(Outcomes::of(&["answered", "behind", "failed"]))
    }
}

impl StandbyReads {
    pub fn register(&self, registry: &mut Registry) {
        self.0.register(
            registry,
            "standby_reads",
            "Reads that the standby was asked: answered by it; behind, as it lacked something, or failed, and then \
             answered by the primary",
        );
    }
}

impl Standby {
    /// Starts to connect, and returns at once.
    pub fn start(
        address: &Address,
        timelines: &Timelines,
        settings: &ReaderSettings,
        statements: &[&'static str],
    ) -> Self {
        Self {
            pool: Pool::of_standby(address, timelines, settings, statements),
            timelines: timelines.clone(),
            reads: StandbyReads::default(),
        }
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    pub fn reads(&self) -> StandbyReads {
        self.reads.clone()
    }

    /// The rows, if it is there and had all that there was at `position` before it read them.
    pub async fn query(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
        position: &Position,
        deadline: Instant,
    ) -> Option<Vec<Row>> {
        let reader = self.pool.live()?;
        let deadline = deadline.min(Instant::now() + PATIENCE);
        let asked = timeout_at(deadline, ask(&reader, statement, parameters)).await;
        let (outcome, rows) = match asked {
            Ok(Ok((Some((own, _)), rows))) if own.has(position) => ("answered", Some(rows)),
            Ok(Ok((own, _))) => {
                position::note(own.as_ref(), &self.timelines);
                ("behind", None)
            }
            Ok(Err(error)) => {
                // A query that replay stood in the way of, or the other way round, says nothing of the connection.
                if is_lost(&error) {
                    tracing::warn!(error = chain(&error), "a connection to the standby is replaced");
                    reader.retire();
                }
                ("failed", None)
            }
            Err(_) => {
                if reader.is_silent_for(PATIENCE) {
                    tracing::warn!("a connection to the standby is silent; it is replaced");
                    reader.retire();
                }
                ("failed", None)
            }
        };
        self.reads.0.count(outcome);
        rows
    }
}

/// Where the standby is, and then the rows: a server answers the questions of a connection in their order, and both are
/// sent at once, in the order in which `join` begins them.
async fn ask(
    reader: &Reader,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<(Option<(Position, bool)>, Vec<Row>), tokio_postgres::Error> {
    let (own, rows) = join(reader.position(), reader.query(statement, parameters)).await;
    Ok((own?, rows?))
}
