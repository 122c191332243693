//! The rows of `rates_internal.batches`: what is claimed, by whom, and what became of it.
//!
//! Every change names the state that it expects, and for asynchronous batches the attempt. Whoever was thought dead
//! and comes back finds that its batch is not in that state any more, and can do nothing to it.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Json, ToSql, Type};
use tokio_postgres::{Client, Row, Transaction};

use super::findings::Report;
use super::held::{GivenBack, Held, TAKING_IN};
use super::intake::Taken;
use super::tokens::{Owner, Writer};

/// A batch as its clients see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub id: i64,
    pub status: Status,
    pub asynchronous: bool,
    pub rows: i64,
    pub checksum: Option<String>,
    pub findings: Option<Report>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its content comes in.
    Receiving,
    /// Its content is stored, and some process will go on with it.
    Queued,
    Running,
    Applied,
    Rejected,
    /// Its client or its process went away; nothing of it counts.
    Abandoned,
}

impl Status {
    const ALL: [Self; 6] = [
        Self::Receiving,
        Self::Queued,
        Self::Running,
        Self::Applied,
        Self::Rejected,
        Self::Abandoned,
    ];

    fn of(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.name() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }

    /// As it is stored.
    fn name(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Abandoned => "abandoned",
        }
    }

    /// What a batch is decided to.
    fn decided(wrong: bool) -> Self {
        if wrong { Self::Rejected } else { Self::Applied }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the database has a batch whose status is `{0}`, which this program does not know")]
pub struct UnknownStatus(String);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database failed")]
    Database(#[from] tokio_postgres::Error),
    #[error("the connection to the database ended")]
    Ended,
    /// Another has it, or it was given up.
    #[error("the batch is not this process's any more")]
    Lost,
    #[error("a port of the batch was deleted while it came in")]
    PortVanished,
    #[error(transparent)]
    UnknownStatus(#[from] UnknownStatus),
    #[error("{0} rows are more than the database can note")]
    RowCount(u64),
    #[error(transparent)]
    GivenBack(#[from] GivenBack),
}

/// What came of a claim.
#[derive(Debug)]
pub enum Claim {
    /// A new batch, with this id.
    New(i64),
    /// One with the same key is there.
    Known(Batch),
}

/// What [`Batch::of_row`] reads.
pub(super) const COLUMNS: &str =
    "id, status, asynchronous, rows, checksum, findings, created_at, finished_at";

impl Batch {
    pub(super) fn of_row(row: &Row) -> Result<Self, UnknownStatus> {
        let findings: Option<Json<Report>> = row.get("findings");
        Ok(Self {
            id: row.get("id"),
            status: Status::of(row.get("status"))?,
            asynchronous: row.get("asynchronous"),
            rows: row.get("rows"),
            checksum: row.get("checksum"),
            findings: findings.map(|Json(report)| report),
            created_at: row.get("created_at"),
            finished_at: row.get("finished_at"),
        })
    }
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

/// The batch with this key, if it is decided or stored: its answer is known, whatever happens to the database.
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
    held: &mut Held,
    writer: &Writer,
    key: Option<&str>,
    asynchronous: bool,
    lease: Duration,
) -> Result<Claim, StoreError> {
    let token = &writer.token.0[..];
    let key = Key::of(writer, key);
    let client = held.locking()?;
    let insert = format!(
        "INSERT INTO rates_internal.batches (owner, token, idempotency_key, asynchronous, lease_until)
         SELECT $1, $4, $3, $5, clock_timestamp() + $6 * interval '1 second' FROM pg_advisory_lock_shared({TAKING_IN})
         WHERE NOT EXISTS (SELECT FROM rates_internal.batches WHERE {SAME_KEY})
         ON CONFLICT DO NOTHING
         RETURNING id"
    );
    let give_up = format!(
        "UPDATE rates_internal.batches SET status = 'abandoned', idempotency_key = NULL
         WHERE {SAME_KEY} AND status = 'receiving' AND lease_until < now()"
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
            return Ok(Claim::New(row.get(0)));
        }
        if client.execute_typed(&give_up, &key.parameters()).await? > 0 {
            continue;
        }
        if let Some(row) = client.query_typed(&find, &key.parameters()).await?.first() {
            return Ok(Claim::Known(Batch::of_row(row)?));
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

/// Keeps a batch that is coming in, and tells how far it is; false if it is not coming in any more.
pub async fn renew(client: &Client, id: i64, rows: u64, lease: Duration) -> Result<bool, StoreError> {
    let statement =
        "UPDATE rates_internal.batches SET lease_until = now() + $2 * interval '1 second', rows = $3
         WHERE id = $1 AND status = 'receiving'";
    let changed = client
        .execute_typed(
            statement,
            &[
                (&id, Type::INT8),
                (&lease.as_secs_f64(), Type::FLOAT8),
                (&signed(rows)?, Type::INT8),
            ],
        )
        .await?;
    Ok(changed == 1)
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

/// What becomes of a batch whose content is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is applied now; or rejected, if something is wrong with it.
    Decide,
    /// Any process decides it later.
    Queue,
}

/// The end of receiving, on disk before it is told. Asked again after its answer was lost, it gives the same answer.
pub async fn received(client: &mut Client, id: i64, taken: &Taken, next: Next) -> Result<Batch, StoreError> {
    let status = match next {
        Next::Queue => Status::Queued,
        Next::Decide => Status::decided(taken.findings.is_some()),
    };
    let update = format!(
        "UPDATE rates_internal.batches
         SET status = $2, rows = $3, checksum = $4, ports = $5, findings = $6, lease_until = NULL,
             finished_at = CASE WHEN $2 <> 'queued' THEN clock_timestamp() END
         WHERE id = $1 AND status = 'receiving'
         RETURNING {COLUMNS}"
    );
    let transaction = durable(client).await?;
    let findings = taken.findings.as_ref().map(Json);
    let row = transaction
        .query_typed(
            &update,
            &[
                (&id, Type::INT8),
                (&status.name(), Type::TEXT),
                (&signed(taken.rows)?, Type::INT8),
                (&taken.checksum, Type::TEXT),
                (&taken.ports, Type::TEXT_ARRAY),
                (&findings, Type::JSONB),
            ],
        )
        .await?;
    let Some(row) = row.first() else {
        drop(transaction);
        return match find(client, id).await? {
            Some(batch) if !matches!(batch.status, Status::Receiving | Status::Abandoned) => Ok(batch),
            _ => Err(StoreError::Lost),
        };
    };
    let batch = Batch::of_row(row)?;
    // What came before the first wrong row is cleared later: it may be much, and its client waits for what is wrong.
    if taken.findings.is_none() {
        use_ports(&transaction, id).await?;
    }
    transaction.commit().await?;
    Ok(batch)
}

/// An asynchronous batch that this process goes on with.
#[derive(Debug)]
pub struct Job {
    pub id: i64,
    attempt: i32,
    rejected: bool,
    rows: i64,
}

impl Job {
    /// What it is decided to.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::decided(self.rejected)
    }

    #[must_use]
    pub fn rows(&self) -> i64 {
        self.rows
    }
}

/// Takes the next batch that waits, or whose process says nothing any more.
pub async fn take_job(client: &Client, lease: Duration) -> Result<Option<Job>, StoreError> {
    let statement = "UPDATE rates_internal.batches
         SET status = 'running', attempt = attempt + 1, lease_until = now() + $1 * interval '1 second'
         WHERE id = (
             SELECT id FROM rates_internal.batches
             WHERE status = 'queued' OR (status = 'running' AND lease_until < now())
             ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
         )
         RETURNING id, attempt, findings IS NOT NULL, rows";
    let rows = client
        .query_typed(statement, &[(&lease.as_secs_f64(), Type::FLOAT8)])
        .await?;
    Ok(rows.first().map(|row| Job {
        id: row.get(0),
        attempt: row.get(1),
        rejected: row.get(2),
        rows: row.get(3),
    }))
}

/// Decides a job that this process took, unless another took it meanwhile.
pub async fn finish_job(client: &mut Client, job: &Job) -> Result<(), StoreError> {
    let update = "UPDATE rates_internal.batches
         SET status = $3, finished_at = clock_timestamp(), lease_until = NULL
         WHERE id = $1 AND status = 'running' AND attempt = $2";
    let transaction = durable(client).await?;
    let changed = transaction
        .execute_typed(
            update,
            &[
                (&job.id, Type::INT8),
                (&job.attempt, Type::INT4),
                (&job.status().name(), Type::TEXT),
            ],
        )
        .await?;
    if changed == 0 {
        return Err(StoreError::Lost);
    }
    transaction.commit().await?;
    Ok(())
}

/// A transaction whose commit is on disk, as the server is set up, before it is told.
async fn durable(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction
        .batch_execute("SET LOCAL synchronous_commit TO DEFAULT")
        .await?;
    Ok(transaction)
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

/// Gives up a batch that was coming in: its key is free again. One that was decided meanwhile is given back.
pub async fn give_up(client: &Client, id: i64) -> Result<Option<Batch>, StoreError> {
    let statement = "UPDATE rates_internal.batches SET status = 'abandoned', idempotency_key = NULL
         WHERE id = $1 AND status = 'receiving'";
    let given_up = client.execute_typed(statement, &[(&id, Type::INT8)]).await?;
    if given_up > 0 {
        return Ok(None);
    }
    let batch = find(client, id).await?;
    Ok(batch.filter(|batch| batch.status != Status::Abandoned))
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
    fn a_status_that_is_not_known_is_an_error() {
        for status in Status::ALL {
            assert_eq!(Status::of(status.name()).unwrap(), status);
        }
        let error = Status::of("archived").unwrap_err().to_string();
        assert!(error.contains("`archived`"), "{error}");
    }

    #[test]
    fn a_number_of_rows_that_does_not_fit_is_an_error() {
        assert_eq!(signed(5).unwrap(), 5);
        assert!(signed(u64::MAX).is_err());
    }
}
