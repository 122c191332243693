//! A run: connect, be the only one, compare, apply what is missing; over again when the connection is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::apply::{ApplyError, apply};
use crate::database::{Address, AddressError, ConnectError, Session, connect, is_lost};
use crate::migrations::{MalformedMigration, Migration};
use crate::report::chain;

/// The longest that one attempt to connect may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Held by the one run that migrates this database.
const ADVISORY_LOCK: i64 = 0x7261_7465_735f_6d69;

/// A first wait between attempts, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The same between attempts to connect: what is waited for is to be met soon after it is there.
const CONNECT_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));

pub struct Options {
    pub owner_role: String,
    pub deadline: Instant,
}

/// What a run did.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The schema's version after the run.
    pub schema_version: i32,
    /// The versions that this run applied.
    pub applied: Vec<i32>,
}

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("cannot prepare the database for migrations")]
    Prepare(#[source] tokio_postgres::Error),
    #[error("another migration of this database did not end before the deadline")]
    Busy,
    #[error(
        "migration {version} was applied as {applied} and is now {own}: a released migration is never changed"
    )]
    Changed {
        version: i32,
        applied: String,
        own: String,
    },
    #[error(
        "migration {version} is not applied although later ones are; the database was not migrated by this project"
    )]
    Gap { version: i32 },
    #[error(transparent)]
    Malformed(#[from] MalformedMigration),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("the deadline passed before the migration was done")]
    Deadline,
}

impl MigrateError {
    /// The connection was lost or never there, by no fault of the migration.
    fn is_lost_connection(&self) -> bool {
        match self {
            Self::Prepare(error) => is_lost(error),
            Self::Apply(error) => is_lost(&error.source),
            _ => false,
        }
    }
}

/// Brings the database (the address' own, or the named one on its server) to the last of the migrations.
///
/// # Errors
/// When the deadline passes, or a migration cannot be applied, or was changed since it was.
pub async fn migrate(
    address: &Address,
    database: Option<&str>,
    migrations: &[Migration],
    options: &Options,
) -> Result<Outcome, MigrateError> {
    let mut applied = Vec::new();
    let mut backoff = BACKOFF.0;
    loop {
        let attempt = async {
            let mut session = connect_until(address, database, options.deadline).await?;
            let outcome = once(&mut session.client, migrations, options, &mut applied).await;
            session.close().await;
            outcome
        };
        match timeout_at(options.deadline, attempt).await {
            Ok(Ok(schema_version)) => {
                return Ok(Outcome {
                    schema_version,
                    applied,
                });
            }
            Ok(Err(error)) if error.is_lost_connection() => {
                tracing::warn!(error = chain(&error), "the connection was lost; starting over");
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(MigrateError::Deadline),
        }
    }
}

/// Connects, waiting for a server that is not there yet or not ready, and for the address's own database to be
/// published; another `database` that does not exist is an error at once.
///
/// # Errors
/// With the last reason, when the deadline passes.
pub async fn connect_until(
    address: &Address,
    database: Option<&str>,
    deadline: Instant,
) -> Result<Session, MigrateError> {
    let mut backoff = CONNECT_BACKOFF.0;
    loop {
        let mut config = address.config()?;
        if let Some(database) = database {
            config.dbname(database);
        }
        match connect(&config, CONNECT_TIMEOUT).await {
            Ok(session) => return Ok(session),
            Err(error) if database.is_some() && error.code() == Some(&SqlState::UNDEFINED_DATABASE) => {
                return Err(error.into());
            }
            Err(error) if Instant::now() + backoff >= deadline => return Err(error.into()),
            Err(error) => tracing::info!(error = chain(&error), "waiting for the database"),
        }
        sleep(backoff).await;
        backoff = (backoff * 2).min(CONNECT_BACKOFF.1);
    }
}

async fn once(
    client: &mut Client,
    migrations: &[Migration],
    options: &Options,
    applied: &mut Vec<i32>,
) -> Result<i32, MigrateError> {
    set_role(client, &options.owner_role).await?;
    lock(client, options.deadline).await?;
    prepare(client).await?;
    let known = read_applied(client).await?;
    let last = known.last_key_value().map_or(0, |(version, _)| *version);
    for migration in migrations {
        match known.get(&migration.version) {
            Some(checksum) if *checksum == migration.checksum => {}
            Some(checksum) => {
                return Err(MigrateError::Changed {
                    version: migration.version,
                    applied: checksum.clone(),
                    own: migration.checksum.clone(),
                });
            }
            None if migration.version < last => {
                return Err(MigrateError::Gap {
                    version: migration.version,
                });
            }
            None => {
                apply_patiently(client, migration, options.deadline).await?;
                applied.push(migration.version);
            }
        }
    }
    Ok(migrations
        .last()
        .map_or(0, |migration| migration.version)
        .max(last))
}

async fn set_role(client: &Client, role: &str) -> Result<(), MigrateError> {
    let quoted = role.replace('"', "\"\"");
    client
        .batch_execute(&format!("SET ROLE \"{quoted}\""))
        .await
        .map_err(MigrateError::Prepare)
}

/// Asks for the lock again and again instead of waiting in it: a session that waits holds a snapshot, and a
/// concurrent index build in the session that has the lock would wait for that for ever.
async fn lock(client: &Client, deadline: Instant) -> Result<(), MigrateError> {
    loop {
        let row = client
            .query_one("SELECT pg_try_advisory_lock($1)", &[&ADVISORY_LOCK])
            .await
            .map_err(MigrateError::Prepare)?;
        if row.get(0) {
            return Ok(());
        }
        let next = Instant::now() + Duration::from_millis(100);
        if next >= deadline {
            return Err(MigrateError::Busy);
        }
        sleep_until(next).await;
    }
}

async fn prepare(client: &Client) -> Result<(), MigrateError> {
    client
        .batch_execute(
            "SET client_min_messages = warning;
             CREATE SCHEMA IF NOT EXISTS rates_internal;
             CREATE TABLE IF NOT EXISTS rates_internal.migrations (
                 version integer PRIMARY KEY,
                 name text NOT NULL,
                 checksum text NOT NULL,
                 compatible_with integer NOT NULL,
                 applied_at timestamptz NOT NULL DEFAULT now()
             )",
        )
        .await
        .map_err(MigrateError::Prepare)
}

async fn read_applied(client: &Client) -> Result<BTreeMap<i32, String>, MigrateError> {
    let rows = client
        .query("SELECT version, checksum FROM rates_internal.migrations", &[])
        .await
        .map_err(MigrateError::Prepare)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn apply_patiently(
    client: &mut Client,
    migration: &Migration,
    deadline: Instant,
) -> Result<(), MigrateError> {
    let mut backoff = BACKOFF.0;
    loop {
        let started = Instant::now();
        match apply(client, migration, deadline).await {
            Ok(()) => {
                let seconds = started.elapsed().as_secs_f64();
                tracing::info!(migration = migration.name, seconds, "applied");
                return Ok(());
            }
            Err(error) if error.is_lock_conflict() && Instant::now() + backoff < deadline => {
                tracing::info!(error = chain(&error), "a lock is held by others; trying again");
            }
            Err(error) => return Err(error.into()),
        }
        sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}
