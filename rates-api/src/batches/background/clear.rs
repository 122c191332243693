//! Remains: batches whose process died, prices of batches that were refused, keys that are old enough to be forgotten.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::batches::store::StoreError;

/// Clears one thing away; false if there was nothing.
pub async fn step(client: &mut Client, idempotency_hours: u32) -> Result<bool, StoreError> {
    let silent = "UPDATE rates_internal.batches SET status = 'abandoned', idempotency_key = NULL
         WHERE status = 'receiving' AND lease_until < now()";
    client.execute_typed(silent, &[]).await?;
    let old = "UPDATE rates_internal.batches SET idempotency_key = NULL
         WHERE idempotency_key IS NOT NULL AND finished_at < now() - $1 * interval '1 hour'";
    client
        .execute_typed(old, &[(&f64::from(idempotency_hours), Type::FLOAT8)])
        .await?;
    abandoned(client).await
}

/// Deletes an abandoned batch. Whoever still writes to it holds its row: this waits for them, and deletes what they
/// wrote; and nobody writes to a batch that has no row.
async fn abandoned(client: &mut Client) -> Result<bool, StoreError> {
    let transaction = client.transaction().await?;
    let delete = "DELETE FROM rates_internal.batches WHERE id = (
             SELECT id FROM rates_internal.batches WHERE status = 'abandoned' ORDER BY id LIMIT 1
             FOR UPDATE SKIP LOCKED
         ) RETURNING id";
    let Some(row) = transaction.query_typed_opt(delete, &[]).await? else {
        return Ok(false);
    };
    let id: i64 = row.get(0);
    transaction
        .execute_typed(
            "DELETE FROM rates_internal.batch_prices WHERE batch_id = $1",
            &[(&id, Type::INT8)],
        )
        .await?;
    transaction.commit().await?;
    tracing::info!(batch = id, "the remains of a batch were cleared away");
    Ok(true)
}
