//! What becomes of a claimed batch: kept, decided, given up.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Json, Type};
use tokio_postgres::{Client, Transaction};

use super::durable::{Durable, confirm};
use super::error::StoreError;
use crate::batches::batch::{Batch, COLUMNS, Status};
use crate::batches::decoder::DecodedBatch;
use crate::database::Session;

/// Keeps a batch that is coming in, and tells how far it is; false if it is not coming in any more.
///
/// While it is being decided its row is locked, for as long as the commit waits for a standby: that is not waited for.
pub async fn renew(client: &Client, id: i64, rows: u64, lease: Duration) -> Result<bool, StoreError> {
    let statement = "WITH free AS (
             SELECT id FROM rates_internal.batches WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED
         ), renewed AS (
             UPDATE rates_internal.batches SET lease_until = now() + $2 * interval '1 second', rows = $3
             WHERE id IN (SELECT id FROM free) AND status = 'receiving'
             RETURNING id
         )
         SELECT EXISTS (SELECT FROM renewed) OR (
             NOT EXISTS (SELECT FROM free)
             AND EXISTS (SELECT FROM rates_internal.batches WHERE id = $1 AND status = 'receiving')
         )";
    let rows = client
        .query_typed(
            statement,
            &[
                (&id, Type::INT8),
                (&lease.as_secs_f64(), Type::FLOAT8),
                (&signed(rows)?, Type::INT8),
            ],
        )
        .await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Makes sure that the batch is still coming in, and stays so until the transaction ends.
pub async fn hold(transaction: &Transaction<'_>, id: i64) -> Result<(), StoreError> {
    let statement = "SELECT FROM rates_internal.batches WHERE id = $1 AND status = 'receiving' FOR KEY SHARE";
    let held = transaction.query_typed(statement, &[(&id, Type::INT8)]).await?;
    if held.is_empty() {
        Err(StoreError::Lost)
    } else {
        Ok(())
    }
}

/// The end of a batch whose content came over this session: it is applied, or rejected if something is wrong with it. It
/// is on disk, and on a standby, as the server is set up, before it is told.
pub async fn decide(session: &mut Session, id: i64, decoded: &DecodedBatch) -> Result<Batch, StoreError> {
    try_decide(session, id, decoded, false).await
}

/// As [`decide`], over another session than the content came by, after that one was lost. What was decided there is the
/// answer, once it is confirmed. Where nothing was, the server may be another, or have lost what was not on disk yet, so the
/// prices are counted first.
pub async fn decide_again(
    session: &mut Session,
    id: i64,
    decoded: &DecodedBatch,
) -> Result<Batch, StoreError> {
    try_decide(session, id, decoded, true).await
}

async fn try_decide(
    session: &mut Session,
    id: i64,
    decoded: &DecodedBatch,
    again: bool,
) -> Result<Batch, StoreError> {
    let status = match decoded.errors {
        Some(_) => Status::Rejected,
        None => Status::Applied,
    };
    let update = format!(
        "UPDATE rates_internal.batches
         SET status = $2, rows = $3, checksum = $4, ports = $5, findings = $6, lease_until = NULL,
             finished_at = clock_timestamp()
         WHERE id = $1 AND status = 'receiving'
         RETURNING {COLUMNS}"
    );
    let durable = Durable::begin(session).await?;
    let transaction = &durable.transaction;
    let errors = decoded.errors.as_ref().map(Json);
    let row = transaction
        .query_typed(
            &update,
            &[
                (&id, Type::INT8),
                (&status.name(), Type::TEXT),
                (&signed(decoded.rows)?, Type::INT8),
                (&decoded.checksum, Type::TEXT),
                (&decoded.ports, Type::TEXT_ARRAY),
                (&errors, Type::JSONB),
            ],
        )
        .await?;
    let Some(row) = row.first() else {
        drop(durable);
        return match find(&session.client, id).await? {
            Some(batch) if !matches!(batch.status, Status::Receiving | Status::Abandoned) => {
                confirm(session).await?;
                Ok(batch)
            }
            _ => Err(StoreError::Lost),
        };
    };
    let batch = Batch::of_row(row)?;
    // What came before the first wrong row is cleared later: it may be much, and its client waits for what is wrong.
    if decoded.errors.is_none() {
        if again {
            count_prices(transaction, id, batch.rows).await?;
        }
        use_ports(transaction, id).await?;
    }
    durable.commit().await?;
    Ok(batch)
}

/// Makes sure that all prices of the batch are here.
async fn count_prices(transaction: &Transaction<'_>, id: i64, expected: i64) -> Result<(), StoreError> {
    let statement = "SELECT coalesce(sum(cardinality(prices)), 0)::bigint FROM rates_internal.batch_prices
         WHERE batch_id = $1";
    let rows = transaction.query_typed(statement, &[(&id, Type::INT8)]).await?;
    match rows.first().map_or(0, |row| row.get(0)) {
        found if found == expected => Ok(()),
        found => Err(StoreError::Incomplete { found, expected }),
    }
}

/// Decides the batches that processes of the release before have stored and left: all of their content is there, so no
/// lease and no attempt matters. Gives what they were decided to, and their rows.
pub async fn decide_queued(session: &mut Session) -> Result<Vec<(Status, i64)>, StoreError> {
    let update = "UPDATE rates_internal.batches
         SET status = CASE WHEN findings IS NULL THEN 'applied' ELSE 'rejected' END,
             finished_at = clock_timestamp(), lease_until = NULL
         WHERE id IN (
             SELECT id FROM rates_internal.batches WHERE status IN ('queued', 'running') FOR NO KEY UPDATE SKIP LOCKED
         )
         RETURNING findings IS NULL, rows";
    let durable = Durable::begin(session).await?;
    let decided = durable.transaction.query_typed(update, &[]).await?;
    durable.commit().await?;
    let outcome = |applied| {
        if applied {
            Status::Applied
        } else {
            Status::Rejected
        }
    };
    Ok(decided
        .iter()
        .map(|row| (outcome(row.get(0)), row.get(1)))
        .collect())
}

/// From now on the ports of the batch cannot be deleted.
async fn use_ports(transaction: &Transaction<'_>, id: i64) -> Result<(), StoreError> {
    let statement = "INSERT INTO rates_internal.batch_ports (code)
         SELECT unnest(ports) FROM rates_internal.batches WHERE id = $1 ORDER BY 1
         ON CONFLICT DO NOTHING";
    match transaction.execute_typed(statement, &[(&id, Type::INT8)]).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => Err(StoreError::PortVanished),
        Err(error) => Err(error.into()),
    }
}

/// What came of giving a batch up.
#[derive(Debug)]
pub enum GivenUp {
    /// Nothing of it counts, and its key is free again.
    Abandoned,
    /// It was decided before. That may be on this server alone, as long as it is not confirmed.
    Decided(Batch),
    /// It is being decided: the commit waits for a standby, and cannot be taken back.
    BeingDecided,
}

/// Gives up a batch that was coming in, unless it is decided or about to be.
pub async fn give_up(client: &Client, id: i64) -> Result<GivenUp, StoreError> {
    let statement = "UPDATE rates_internal.batches SET status = 'abandoned', idempotency_key = NULL
         WHERE id IN (
             SELECT id FROM rates_internal.batches WHERE id = $1 AND status = 'receiving'
             FOR NO KEY UPDATE SKIP LOCKED
         )";
    let given_up = client.execute_typed(statement, &[(&id, Type::INT8)]).await?;
    if given_up > 0 {
        return Ok(GivenUp::Abandoned);
    }
    Ok(match find(client, id).await? {
        Some(batch) if batch.status == Status::Receiving => GivenUp::BeingDecided,
        Some(batch) if batch.status != Status::Abandoned => GivenUp::Decided(batch),
        _ => GivenUp::Abandoned,
    })
}

async fn find(client: &Client, id: i64) -> Result<Option<Batch>, StoreError> {
    let statement = format!("SELECT {COLUMNS} FROM rates_internal.batches WHERE id = $1");
    let rows = client.query_typed(&statement, &[(&id, Type::INT8)]).await?;
    Ok(rows.first().map(Batch::of_row).transpose()?)
}

fn signed(rows: u64) -> Result<i64, StoreError> {
    i64::try_from(rows).map_err(|_| StoreError::RowCount(rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_rows_that_does_not_fit_is_an_error() {
        assert_eq!(signed(5).unwrap(), 5);
        assert!(signed(u64::MAX).is_err());
    }
}
