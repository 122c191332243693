//! The sums of an applied batch are added to `sums`, some pairs at a time.
//!
//! Reads add the sums of batches themselves as long as they are not folded; the batch's row says up to which pair they
//! are. Both change in one transaction, so a read sees each price once, whenever it looks.

use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::step::{PATIENCE, StepError};
use crate::batches::store::StoreError;
use crate::database::Connections;
use crate::report::chain;

/// How long nothing is looked for when there was nothing to fold and nobody said that there is.
const IDLE: Duration = Duration::from_secs(1);

/// How many groups are folded in one transaction: about a hundred thousand keys at most, some hundred milliseconds.
const GROUPS: i64 = 2000;

/// Runs until it is told to stop. `work` says that a batch was applied here.
pub async fn run(connections: &Connections, work: &Notify, stopping: &CancellationToken) {
    loop {
        let connection = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            connection = connections.get(PATIENCE) => connection,
        };
        let folded = match connection {
            Ok(mut connection) => step(&mut connection.client).await.map_err(StepError::from),
            Err(error) => Err(error.into()),
        };
        let idle = match folded {
            Ok(true) => continue,
            Ok(false) => timeout(IDLE, work.notified()).map(drop).left_future(),
            Err(error) => {
                tracing::debug!(error = chain(&error), "folding waits");
                sleep(IDLE).right_future()
            }
        };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = idle => {}
        }
    }
}

/// Folds the next part of the oldest batch that no other process is folding; false if there is none.
async fn step(client: &mut Client) -> Result<bool, StoreError> {
    let transaction = client.transaction().await?;
    let next = "SELECT id, folded_orig_code, folded_dest_code FROM rates_internal.batches
         WHERE status = 'applied' AND folded_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED";
    let Some(row) = transaction.query_typed_opt(next, &[]).await? else {
        return Ok(false);
    };
    let (id, origin, destination): (i64, Option<String>, Option<String>) =
        (row.get(0), row.get(1), row.get(2));

    // Whole pairs: the last one of this part, or none if this is the rest.
    let last = "SELECT orig_code, dest_code FROM rates_internal.batch_prices
         WHERE batch_id = $1 AND ($2::text IS NULL OR (orig_code, dest_code) > ($2, $3))
         ORDER BY orig_code, dest_code OFFSET $4 LIMIT 1";
    let last = transaction
        .query_typed_opt(
            last,
            &[
                (&id, Type::INT8),
                (&origin, Type::TEXT),
                (&destination, Type::TEXT),
                (&GROUPS, Type::INT8),
            ],
        )
        .await?;
    let (last_origin, last_destination): (Option<String>, Option<String>) =
        last.map_or((None, None), |row| (row.get(0), row.get(1)));

    // In the order of the key, as everything that changes sums, so that two cannot wait for each other.
    let fold = "INSERT INTO rates_internal.sums AS s (orig_code, dest_code, day, total, count)
         SELECT g.orig_code, g.dest_code, d.day, sum(d.total), sum(d.count)
         FROM rates_internal.batch_prices AS g
         CROSS JOIN LATERAL unnest(g.days, g.totals, g.counts) AS d (day, total, count)
         WHERE g.batch_id = $1 AND ($2::text IS NULL OR (g.orig_code, g.dest_code) > ($2, $3))
             AND ($4::text IS NULL OR (g.orig_code, g.dest_code) <= ($4, $5))
         GROUP BY 1, 2, 3
         ORDER BY 1, 2, 3
         ON CONFLICT (orig_code, dest_code, day) DO UPDATE
         SET total = s.total + excluded.total, count = s.count + excluded.count";
    transaction
        .execute_typed(
            fold,
            &[
                (&id, Type::INT8),
                (&origin, Type::TEXT),
                (&destination, Type::TEXT),
                (&last_origin, Type::TEXT),
                (&last_destination, Type::TEXT),
            ],
        )
        .await?;
    let mark = "UPDATE rates_internal.batches
         SET folded_orig_code = $2, folded_dest_code = $3, folded_at = CASE WHEN $2 IS NULL THEN now() END
         WHERE id = $1";
    transaction
        .execute_typed(
            mark,
            &[
                (&id, Type::INT8),
                (&last_origin, Type::TEXT),
                (&last_destination, Type::TEXT),
            ],
        )
        .await?;
    transaction.commit().await?;
    Ok(true)
}
