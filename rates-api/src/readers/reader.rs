//! One shared connection with its prepared statements.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};
use tokio_util::sync::CancellationToken;

use super::position::{self, Position};
use crate::database::{Origin, Schema, Timelines};

pub struct Reader {
    client: Client,
    /// By their text.
    prepared: Vec<(&'static str, Statement)>,
    /// How a standby is asked for its position.
    standby_position: &'static str,
    schema: Statement,
    origin: Origin,
    /// None of a standby, which may be on any.
    timelines: Option<Timelines>,
    retired: CancellationToken,
    since: Instant,
    /// When the last answer came, in milliseconds after `since`.
    last_answer: AtomicU64,
}

impl Reader {
    /// Prepares the statements on a connection to a server that is on that timeline.
    ///
    /// # Errors
    /// When the database has not what they read.
    pub async fn prepare(
        client: Client,
        origin: Origin,
        timelines: Option<Timelines>,
        statements: &[&'static str],
    ) -> Result<Self, tokio_postgres::Error> {
        let mut standby_position = position::OF_STANDBY;
        if timelines.is_none() {
            let rows = client.query_typed(position::HAS_RECEIVER, &[]).await?;
            if rows.first().is_some_and(|row| row.get(0)) {
                standby_position = position::OF_RECEIVING_STANDBY;
            }
        }
        let own = [position::OF_PRIMARY, standby_position];
        let texts = statements.iter().chain(&own);
        let prepared = try_join_all(texts.map(async |text| Ok((*text, client.prepare(text).await?)))).await?;
        let schema = client.prepare(Schema::STATEMENT).await?;
        Ok(Self {
            client,
            prepared,
            standby_position,
            schema,
            origin,
            timelines,
            retired: CancellationToken::new(),
            since: Instant::now(),
            last_answer: AtomicU64::new(0),
        })
    }

    /// The rows of a statement.
    ///
    /// # Errors
    /// As the database or the connection to it fails.
    pub async fn query(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        // It is usually the very text that was prepared, which takes no comparison of its bytes.
        let is = |text: &str| ptr::eq(text, statement) || text == statement;
        let outcome = match self.prepared.iter().find(|(text, _)| is(text)) {
            Some((_, prepared)) => self.client.query(prepared, parameters).await,
            None => self.client.query(statement, parameters).await,
        };
        self.note_answer();
        outcome
    }

    /// What the database says of its schema now.
    ///
    /// # Errors
    /// As the database or the connection to it fails.
    pub async fn schema(&self) -> Result<Schema, tokio_postgres::Error> {
        let row = self.client.query_one(&self.schema, &[]).await;
        self.note_answer();
        row.map(|row| Schema::of_row(&row))
    }

    /// Where a standby is, or one that was promoted, and whether it is a standby; none before it has replayed anything.
    ///
    /// # Errors
    /// As the database or the connection to it fails.
    pub async fn position(&self) -> Result<Option<(Position, bool)>, tokio_postgres::Error> {
        let rows = self.query(self.standby_position, &[]).await?;
        let position = |row| Some((Position::of_standby(row, self.system())?, row.get(2)));
        Ok(rows.first().and_then(position))
    }

    /// The identifier of the cluster that answers here.
    #[must_use]
    pub fn system(&self) -> i64 {
        self.origin.system
    }

    /// Another server was promoted since: what this one says may be old.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.timelines
            .as_ref()
            .is_some_and(|timelines| timelines.is_superseded(self.origin))
    }

    /// Takes no further queries, and has the connection replaced.
    pub fn retire(&self) {
        self.retired.cancel();
    }

    /// Waits until somebody had this connection replaced.
    pub async fn retired(&self) {
        self.retired.cancelled().await;
    }

    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.retired.is_cancelled() && !self.client.is_closed() && !self.is_superseded()
    }

    /// No query was answered for this long. A slow query among others that are answered is not a broken connection.
    #[must_use]
    pub fn is_silent_for(&self, duration: Duration) -> bool {
        let last = self.since + Duration::from_millis(self.last_answer.load(Ordering::Relaxed));
        last.elapsed() >= duration
    }

    fn note_answer(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_answer.store(now, Ordering::Relaxed);
    }
}
