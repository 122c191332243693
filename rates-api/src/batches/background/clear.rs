//! Orphaned rows: batches whose process died, prices of batches that count for nothing, keys that are old enough to be
//! forgotten.
//!
//! It goes on whatever else is to be done, a slice at a time, and takes at most half of the time: many millions of rows
//! neither hold up what reads and batches wait for nor stay for ever.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::step::{PATIENCE, StepError};
use crate::batches::store::StoreError;
use crate::database::Connections;
use crate::report::chain;

/// How often something to clear is looked for.
const PACE: Duration = Duration::from_secs(5);

/// Rows of `batch_prices` that one transaction deletes: some ten milliseconds.
const SLICE: i64 = 10_000;

/// The batch that is being cleared, and the pair up to which it is: without it, each slice would step over what those
/// before it deleted. Another process that clears the same batch costs a few steps, and no more.
#[derive(Default)]
struct Position {
    batch: i64,
    origin: String,
    destination: String,
}

/// Runs until it is told to stop.
pub async fn run(connections: &Connections, idempotency_hours: u32, stopping: &CancellationToken) {
    let mut position = Position::default();
    loop {
        let pause = match clear(connections, idempotency_hours, &mut position, stopping).await {
            Ok(()) => PACE,
            Err(error) => {
                tracing::debug!(error = chain(&error), "clearing waits");
                PACE / 5
            }
        };
        tokio::select! {
            () = stopping.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// Clears all that there is.
async fn clear(
    connections: &Connections,
    idempotency_hours: u32,
    position: &mut Position,
    stopping: &CancellationToken,
) -> Result<(), StepError> {
    mark(&mut connections.get(PATIENCE).await?.client, idempotency_hours).await?;
    while !stopping.is_cancelled() {
        let began = Instant::now();
        let mut connection = connections.get(PATIENCE).await?;
        if !slice(&mut connection.client, position).await? {
            break;
        }
        drop(connection);
        tokio::select! {
            () = stopping.cancelled() => {}
            () = sleep(began.elapsed()) => {}
        }
    }
    Ok(())
}

/// Gives up the batches whose process says nothing any more, and forgets old keys. A batch that somebody is at is left.
async fn mark(client: &mut Client, idempotency_hours: u32) -> Result<(), StoreError> {
    let silent = "UPDATE rates_internal.batches SET status = 'abandoned', idempotency_key = NULL
         WHERE id IN (
             SELECT id FROM rates_internal.batches WHERE status = 'receiving' AND lease_until < now()
             FOR NO KEY UPDATE SKIP LOCKED
         )";
    client.execute_typed(silent, &[]).await?;
    let old = "UPDATE rates_internal.batches SET idempotency_key = NULL
         WHERE idempotency_key IS NOT NULL AND finished_at IS NOT NULL AND created_at < now() - $1 * interval '1 hour'";
    client
        .execute_typed(old, &[(&f64::from(idempotency_hours), Type::FLOAT8)])
        .await?;
    Ok(())
}

/// Deletes some of the prices of a batch that counts for nothing, and with the last of them what says that there are
/// some; false if there is no such batch.
///
/// Whoever still writes to an abandoned batch holds its row: until then it is passed over. Later nobody writes to it.
async fn slice(client: &mut Client, position: &mut Position) -> Result<bool, StoreError> {
    let transaction = client.transaction().await?;
    let next = "SELECT id, status = 'abandoned' FROM rates_internal.batches
         WHERE status IN ('abandoned', 'rejected') AND cleared_at IS NULL
         ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED";
    let Some(row) = transaction.query_typed_opt(next, &[]).await? else {
        return Ok(false);
    };
    let (id, abandoned): (i64, bool) = (row.get(0), row.get(1));
    if position.batch != id {
        *position = Position {
            batch: id,
            ..Position::default()
        };
    }
    // In the order of the index. The last pair is begun again, as it may have more rows than were deleted.
    let delete = "WITH deleted AS (
             DELETE FROM rates_internal.batch_prices WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM rates_internal.batch_prices
                 WHERE batch_id = $1 AND (orig_code, dest_code) >= ($2, $3)
                 ORDER BY orig_code, dest_code LIMIT $4
             ))
             RETURNING orig_code, dest_code
         )
         SELECT orig_code, dest_code, count(*) OVER () FROM deleted ORDER BY orig_code DESC, dest_code DESC LIMIT 1";
    let last = transaction
        .query_typed_opt(
            delete,
            &[
                (&id, Type::INT8),
                (&position.origin, Type::TEXT),
                (&position.destination, Type::TEXT),
                (&SLICE, Type::INT8),
            ],
        )
        .await?;
    let deleted: i64 = last.as_ref().map_or(0, |row| row.get(2));
    if deleted < SLICE {
        let done = if abandoned {
            "DELETE FROM rates_internal.batches WHERE id = $1"
        } else {
            "UPDATE rates_internal.batches SET cleared_at = now() WHERE id = $1"
        };
        transaction.execute_typed(done, &[(&id, Type::INT8)]).await?;
    }
    transaction.commit().await?;
    if let Some(row) = last {
        (position.origin, position.destination) = (row.get(0), row.get(1));
    }
    if deleted < SLICE {
        tracing::info!(batch = id, "the orphaned rows of a batch were cleared away");
    }
    Ok(true)
}
