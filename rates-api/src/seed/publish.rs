//! Gives a loaded scratch database the name of the served one.
//!
//! Every attempt loads into a scratch database of its own and writes the marker into it last, so a marker means a
//! whole load by that attempt. Two attempts may run at once (a node that was thought lost): the rename decides,
//! as a name can be taken only once. The other one finds the name taken, and drops what it loaded.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::database::{Address, AddressError, Schema, SchemaError, is_lost};
use crate::migrate::{self, MigrateError, MigrateJob};
use crate::migrations::migrations;
use crate::report::chain;
use crate::seed::load::{self, LoadError};

#[derive(clap::Args)]
pub struct PublishJob {
    /// The unique id of the attempt (the pod's uid); its first 12 hexadecimal digits name the scratch database
    #[arg(long, value_name = "UID")]
    pub attempt: String,
    /// The file that the load, which runs at the same time, keeps locked until it ends; without it the load has ended
    #[arg(long, value_name = "FILE")]
    pub after: Option<PathBuf>,
    #[command(flatten)]
    pub migration: MigrateJob,
}

/// A report holds at most 4096 bytes.
const COPIED_BYTES: usize = 2048;

/// Databases are renamed and dropped from this one.
const MAINTENANCE: &str = "postgres";

/// What was published, by this attempt or by another.
#[derive(Debug, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    #[serde(flatten)]
    pub marker: Marker,
    pub schema_version: i32,
    pub already_seeded: bool,
}

/// The one row that says what a database was seeded with.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct Marker {
    pub source: String,
    pub checksum: String,
    pub rows: i64,
    pub seconds: f64,
    /// What of another environment was copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copied: Option<Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("the attempt `{0}` is no unique id; expected the pod's uid, with at least 12 hexadecimal digits")]
    Attempt(String),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the database's URI names no database; expected postgres://USER:PASSWORD@HOST:PORT/NAME")]
    NoName,
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(
        "database {0} exists and has no seed marker: it was not made by a seed Job, and is left as it is"
    )]
    NotOurs(String),
    #[error("the scratch database {0} is not there: a later attempt removed it, or nothing was loaded")]
    NoScratch(String),
    #[error("the scratch database {0} has no seed marker: its load did not finish")]
    Unfinished(String),
    #[error("cannot {what} database {database}")]
    Sql {
        what: &'static str,
        database: String,
        #[source]
        source: tokio_postgres::Error,
    },
}

impl PublishError {
    /// There is nothing to publish because the load failed, which says why.
    #[must_use]
    pub fn is_of_the_load(&self) -> bool {
        matches!(self, Self::Load(LoadError::Failed))
    }

    /// The connection was lost, perhaps after the server did what it was told: every step may be taken again.
    fn is_lost_connection(&self) -> bool {
        matches!(self, Self::Sql { source, .. } | Self::Schema(SchemaError::Read(source)) if is_lost(source))
    }
}

/// What a database says of its seed.
enum Found {
    NoDatabase,
    NoMarker,
    Seeded { marker: Marker, schema_version: i32 },
}

/// Migrates the attempt's scratch database, once it is loaded, and renames it, unless the served one is already there.
///
/// # Errors
/// When there is nothing whole to publish, or the server cannot be used before the deadline.
pub async fn run(job: &PublishJob) -> Result<Published, PublishError> {
    let scratch = scratch_name(&job.attempt)?;
    if let Some(file) = &job.after {
        load::ended(file).await?;
    }
    // The deadline begins only now.
    let publisher = Publisher {
        address: job.migration.database.address(),
        options: job.migration.options(),
    };
    loop {
        match publisher.publish(&scratch).await {
            Err(error) if error.is_lost_connection() && Instant::now() < publisher.options.deadline => {
                tracing::warn!(error = chain(&error), "the connection was lost; starting over");
                sleep(Duration::from_millis(500)).await;
            }
            outcome => return outcome,
        }
    }
}

/// The scratch database of an attempt; the loader derives the same name.
fn scratch_name(attempt: &str) -> Result<String, PublishError> {
    let digits: String = attempt
        .chars()
        .filter(|&character| character != '-')
        .take(12)
        .collect();
    if digits.len() == 12
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        Ok(format!("rates_seed_{digits}"))
    } else {
        Err(PublishError::Attempt(attempt.to_owned()))
    }
}

struct Publisher {
    address: Address,
    options: migrate::Options,
}

impl Publisher {
    async fn publish(&self, scratch: &str) -> Result<Published, PublishError> {
        let config = self.address.config()?;
        let target = config.get_dbname().ok_or(PublishError::NoName)?;
        if let Some(published) = self.already(target).await? {
            return Ok(published);
        }
        let marker = match self.look(scratch).await? {
            Found::Seeded { marker, .. } => marker,
            Found::NoMarker => return Err(PublishError::Unfinished(scratch.to_owned())),
            Found::NoDatabase => return Err(PublishError::NoScratch(scratch.to_owned())),
        };
        let outcome = migrate::migrate(
            &self.address,
            Some(scratch),
            migrations().map_err(MigrateError::from)?,
            &self.options,
        )
        .await?;
        self.vacuum(scratch).await?;
        if self.rename(scratch, target).await? {
            return Ok(Published {
                marker,
                schema_version: outcome.schema_version,
                already_seeded: false,
            });
        }
        // Another attempt was first. Its database is whole, as ours would have been.
        let published = self.already(target).await?;
        self.drop(scratch).await?;
        published.ok_or_else(|| PublishError::NoScratch(scratch.to_owned()))
    }

    /// What the served database was seeded with, if it is there.
    async fn already(&self, target: &str) -> Result<Option<Published>, PublishError> {
        match self.look(target).await? {
            Found::NoDatabase => Ok(None),
            Found::NoMarker => Err(PublishError::NotOurs(target.to_owned())),
            Found::Seeded {
                marker,
                schema_version,
            } => Ok(Some(Published {
                marker,
                schema_version,
                already_seeded: true,
            })),
        }
    }

    async fn look(&self, database: &str) -> Result<Found, PublishError> {
        let session = match migrate::connect_until(&self.address, Some(database), self.options.deadline).await
        {
            Ok(session) => session,
            Err(MigrateError::Connect(error)) if error.code() == Some(&SqlState::UNDEFINED_DATABASE) => {
                return Ok(Found::NoDatabase);
            }
            Err(error) => return Err(error.into()),
        };
        let found = look_within(&session.client, database).await;
        session.close().await;
        found
    }

    /// Statistics and the visibility map from the start: the first reads are then served from the index alone.
    async fn vacuum(&self, scratch: &str) -> Result<(), PublishError> {
        let session = migrate::connect_until(&self.address, Some(scratch), self.options.deadline).await?;
        let role = set_role(&self.options.owner_role);
        let outcome = async {
            session.client.batch_execute(&role).await?;
            session
                .client
                .batch_execute(
                    "VACUUM (ANALYZE) rates_internal.seed_prices, public.ports, public.regions, rates_internal.sums",
                )
                .await
        };
        let outcome = outcome.await.map_err(sql("vacuum", scratch));
        session.close().await;
        outcome
    }

    /// True when the scratch database now has the target's name; false when that name is taken or the scratch gone.
    async fn rename(&self, scratch: &str, target: &str) -> Result<bool, PublishError> {
        let statement = format!("ALTER DATABASE {} RENAME TO {}", quoted(scratch), quoted(target));
        match self.maintain(&statement).await? {
            Ok(()) => Ok(true),
            Err(error) if is(&error, NAME_IS_TAKEN_OR_GONE) => Ok(false),
            Err(error) => Err(sql("rename", scratch)(error)),
        }
    }

    async fn drop(&self, scratch: &str) -> Result<(), PublishError> {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(scratch));
        self.maintain(&statement).await?.map_err(sql("drop", scratch))
    }

    /// Runs a statement about databases; one that is still in use, by a session that is about to end or by
    /// autovacuum (which this role may not end), is waited for.
    async fn maintain(&self, statement: &str) -> Result<Result<(), tokio_postgres::Error>, PublishError> {
        let role = set_role(&self.options.owner_role);
        loop {
            let session =
                migrate::connect_until(&self.address, Some(MAINTENANCE), self.options.deadline).await?;
            let outcome = async {
                session.client.batch_execute(&role).await?;
                session.client.batch_execute(statement).await
            };
            let outcome = outcome.await;
            session.close().await;
            match outcome {
                Err(error) if is(&error, IN_USE) && Instant::now() < self.options.deadline => {
                    sleep(Duration::from_millis(100)).await;
                }
                other => return Ok(other),
            }
        }
    }
}

/// Two renames to one name at the same moment meet in the catalog's index.
const NAME_IS_TAKEN_OR_GONE: &[SqlState] = &[
    SqlState::DUPLICATE_DATABASE,
    SqlState::UNIQUE_VIOLATION,
    SqlState::UNDEFINED_DATABASE,
];

const IN_USE: &[SqlState] = &[SqlState::OBJECT_IN_USE, SqlState::INSUFFICIENT_PRIVILEGE];

async fn look_within(client: &Client, database: &str) -> Result<Found, PublishError> {
    // Markers of other seeds, and of earlier releases, need not have the column.
    let statement =
        "SELECT source, checksum, rows, seconds, to_jsonb(seed) -> 'copied' FROM rates_internal.seed AS seed";
    match client.query_opt(statement, &[]).await {
        Ok(Some(row)) => {
            let marker = Marker {
                source: row.get(0),
                checksum: row.get(1),
                rows: row.get(2),
                seconds: row.get(3),
                copied: row.get::<_, Option<Value>>(4).filter(fits),
            };
            Ok(Found::Seeded {
                marker,
                schema_version: Schema::read(client).await?.version,
            })
        }
        Ok(None) => Ok(Found::NoMarker),
        Err(error)
            if is(
                &error,
                &[SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME],
            ) =>
        {
            Ok(Found::NoMarker)
        }
        Err(error) => Err(sql("read the seed marker of", database)(error)),
    }
}

/// Whether the report has room for it.
fn fits(copied: &Value) -> bool {
    !copied.is_null() && copied.to_string().len() <= COPIED_BYTES
}

fn is(error: &tokio_postgres::Error, codes: &[SqlState]) -> bool {
    error.code().is_some_and(|code| codes.contains(code))
}

fn sql(what: &'static str, database: &str) -> impl FnOnce(tokio_postgres::Error) -> PublishError {
    let database = database.to_owned();
    move |source| PublishError::Sql {
        what,
        database,
        source,
    }
}

fn set_role(role: &str) -> String {
    format!("SET ROLE {}", quoted(role))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scratch_database_is_named_by_the_first_digits_of_the_uid() {
        let name = scratch_name("0f3c1a2b-44d5-4e6f-8a9b-0c1d2e3f4a5b").unwrap();
        assert_eq!(name, "rates_seed_0f3c1a2b44d5");
    }

    #[test]
    fn what_is_no_uid_is_refused() {
        for attempt in [
            "",
            "0f3c1a2b-44",
            "0f3c1a2b-4\"; DROP DATABASE rates; --",
            "zzzzzzzz-zzzz-zzzz",
        ] {
            assert!(scratch_name(attempt).is_err(), "{attempt}");
        }
    }
}
