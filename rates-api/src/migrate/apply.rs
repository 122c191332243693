//! One migration on one connection.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::migrations::Migration;

/// How long a migration in a transaction waits for a lock, and so may hold up readers behind it.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
#[error("migration {name} failed")]
pub struct ApplyError {
    pub name: &'static str,
    #[source]
    pub source: tokio_postgres::Error,
}

impl ApplyError {
    /// Somebody else held a lock, or waited for one of ours: another attempt may do.
    #[must_use]
    pub fn is_lock_conflict(&self) -> bool {
        matches!(
            self.source.code(),
            Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE
                || *code == SqlState::T_R_DEADLOCK_DETECTED
                || *code == SqlState::T_R_SERIALIZATION_FAILURE
        )
    }
}

/// Applies a migration and notes it.
///
/// # Errors
/// As PostgreSQL says; nothing of a migration in a transaction is then left.
pub async fn apply(client: &mut Client, migration: &Migration, deadline: Instant) -> Result<(), ApplyError> {
    let failed = |source| ApplyError {
        name: migration.name,
        source,
    };
    let outcome = if migration.in_transaction {
        in_transaction(client, migration, deadline).await
    } else {
        outside(client, migration, deadline).await
    };
    outcome.map_err(failed)
}

async fn in_transaction(
    client: &mut Client,
    migration: &Migration,
    deadline: Instant,
) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    let settings = format!(
        "SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {}",
        LOCK_TIMEOUT.as_millis(),
        remaining(deadline)
    );
    transaction.batch_execute(&settings).await?;
    transaction.batch_execute(migration.sql).await?;
    note(&transaction, migration).await?;
    transaction.commit().await
}

/// What runs outside of a transaction blocks no reader while it waits, so it may wait until the deadline.
async fn outside(
    client: &Client,
    migration: &Migration,
    deadline: Instant,
) -> Result<(), tokio_postgres::Error> {
    let remaining = remaining(deadline);
    client
        .batch_execute(&format!(
            "SET lock_timeout = {remaining}; SET statement_timeout = {remaining}"
        ))
        .await?;
    if let Some(index) = migration.builds_index {
        drop_if_invalid(client, index).await?;
    }
    client.batch_execute(migration.sql).await?;
    note(client, migration).await
}

/// An interrupted concurrent build leaves an index that costs writes, serves no read and stands in the way.
async fn drop_if_invalid(client: &Client, index: &str) -> Result<(), tokio_postgres::Error> {
    let statement = "SELECT FROM pg_catalog.pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid";
    if client.query_opt(statement, &[&index]).await?.is_some() {
        tracing::warn!(index, "dropping an index that an interrupted run left invalid");
        client
            .batch_execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS {index}"))
            .await?;
    }
    Ok(())
}

async fn note<C: tokio_postgres::GenericClient>(
    client: &C,
    migration: &Migration,
) -> Result<(), tokio_postgres::Error> {
    let statement = "INSERT INTO rates_internal.migrations (version, name, checksum, compatible_with) VALUES ($1, $2, $3, $4)";
    let Migration {
        version,
        name,
        checksum,
        compatible_with,
        ..
    } = migration;
    client
        .execute(statement, &[version, name, checksum, compatible_with])
        .await?;
    Ok(())
}

/// Milliseconds until the deadline, at least one, as zero would mean for ever.
fn remaining(deadline: Instant) -> u128 {
    deadline
        .saturating_duration_since(Instant::now())
        .as_millis()
        .clamp(1, 86_400_000)
}
