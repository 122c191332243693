//! Who has which key: a batch is claimed by it, or found by it.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::error::StoreError;
use crate::batches::batch::{Batch, COLUMNS};
use crate::batches::locked_connection::{LockedConnection, TAKING_IN};
use crate::batches::tokens::{Owner, Writer};

/// What came of a claim.
#[derive(Debug)]
pub enum BatchClaim {
    /// A new batch, with this id.
    New(i64),
    /// One with the same key is there.
    Known(Batch),
}

/// Which rows have the key `$3` of the owner `$1`. Programs of the release before note no owner: of theirs, those count
/// that came with one of its tokens `$2`.
const SAME_KEY: &str = "idempotency_key = $3 AND (owner = $1 OR (owner IS NULL AND token = ANY ($2)))";

/// A key, with whose it is.
struct Key<'a> {
    owner: &'a str,
    tokens: Vec<&'a [u8]>,
    name: Option<&'a str>,
}

impl<'a> Key<'a> {
    fn of(writer: &'a Writer, key: Option<&'a str>) -> Self {
        Self {
            owner: &writer.owner.name,
            tokens: writer.owner.tokens.iter().map(|token| &token.0[..]).collect(),
            name: key,
        }
    }

    /// What [`SAME_KEY`] asks for.
    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 3] {
        [
            (&self.owner, Type::TEXT),
            (&self.tokens, Type::BYTEA_ARRAY),
            (&self.name, Type::TEXT),
        ]
    }
}

/// The batch with this key, if its content is stored: its answer is known, whatever happens to the database.
pub async fn known(client: &Client, writer: &Writer, key: Option<&str>) -> Result<Option<Batch>, StoreError> {
    if key.is_none() {
        return Ok(None);
    }
    let find = format!(
        "SELECT {COLUMNS} FROM rates_internal.batches WHERE {SAME_KEY} AND status <> 'receiving' ORDER BY id LIMIT 1"
    );
    let key = Key::of(writer, key);
    let row = client.query_typed_opt(&find, &key.parameters()).await?;
    Ok(row.as_ref().map(Batch::of_row).transpose()?)
}

/// Begins a batch, unless one with its key is there. One whose process says nothing any more is given up for it.
///
/// The connection has the shared lock of a new batch: taken before the row is made, in the same statement, which may
/// wait for it. So the lease counts from after the wait.
pub async fn claim(
    connection: &mut LockedConnection,
    writer: &Writer,
    key: Option<&str>,
    asynchronous: bool,
    lease: Duration,
) -> Result<BatchClaim, StoreError> {
    let token = &writer.token.0[..];
    let key = Key::of(writer, key);
    let client = connection.locking()?;
    let insert = format!(
        "INSERT INTO rates_internal.batches (owner, token, idempotency_key, asynchronous, lease_until)
         SELECT $1, $4, $3, $5, clock_timestamp() + $6 * interval '1 second' FROM pg_advisory_lock_shared({TAKING_IN})
         WHERE NOT EXISTS (SELECT FROM rates_internal.batches WHERE {SAME_KEY})
         ON CONFLICT DO NOTHING
         RETURNING id"
    );
    let give_up = format!(
        "UPDATE rates_internal.batches SET status = 'abandoned', idempotency_key = NULL
         WHERE id IN (
             SELECT id FROM rates_internal.batches
             WHERE {SAME_KEY} AND status = 'receiving' AND lease_until < now() FOR NO KEY UPDATE SKIP LOCKED
         )"
    );
    let find = format!("SELECT {COLUMNS} FROM rates_internal.batches WHERE {SAME_KEY} ORDER BY id LIMIT 1");
    let seconds = lease.as_secs_f64();
    let [owner, tokens, name] = key.parameters();
    let begin = [
        owner,
        tokens,
        name,
        (&token as &(dyn ToSql + Sync), Type::BYTEA),
        (&asynchronous, Type::BOOL),
        (&seconds, Type::FLOAT8),
    ];
    loop {
        let inserted = client.query_typed(&insert, &begin).await?;
        if let Some(row) = inserted.first() {
            return Ok(BatchClaim::New(row.get(0)));
        }
        if client.execute_typed(&give_up, &key.parameters()).await? > 0 {
            continue;
        }
        if let Some(row) = client.query_typed(&find, &key.parameters()).await?.first() {
            return Ok(BatchClaim::Known(Batch::of_row(row)?));
        }
    }
}

/// Notes the owner of keys that programs of the release before took, as long as their tokens are known. Of several
/// batches with one key, which those programs took with several of its tokens, the first has it.
pub async fn adopt(client: &Client, owner: &Owner) -> Result<(), StoreError> {
    let statement = "UPDATE rates_internal.batches SET owner = $1
         WHERE id IN (
             SELECT DISTINCT ON (idempotency_key) id FROM rates_internal.batches AS b
             WHERE owner IS NULL AND token = ANY ($2) AND idempotency_key IS NOT NULL AND NOT EXISTS (
                 SELECT FROM rates_internal.batches AS o
                 WHERE o.owner = $1 AND o.idempotency_key = b.idempotency_key
             )
             ORDER BY idempotency_key, id
         )";
    let tokens: Vec<&[u8]> = owner.tokens.iter().map(|token| &token.0[..]).collect();
    client
        .execute_typed(
            statement,
            &[(&owner.name, Type::TEXT), (&tokens, Type::BYTEA_ARRAY)],
        )
        .await?;
    Ok(())
}
