//! `POST /batches` against COPY of the same rows: into the original table, into one without foreign keys, into a bare one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::copy::copy;
use super::data::{Prices, distinct_keys};
use super::databases::Databases;
use super::format::{Body, Format, binary};
use super::latency::{count, median};
use super::machine::Machine;
use super::plan::{self, Plan, Seed};
use super::post::post;
use super::postgres::Session;
use super::service::Service;
use host::terminal::Step;

/// Of the rows of batches.
pub const SEED: u64 = 2026;

/// A batch before the first that is measured, which opens what is opened once.
const FIRST_ROWS: u32 = 1000;

/// How long the sums of a batch may take to be folded.
const PATIENCE: Duration = Duration::from_mins(5);

/// As the original one with an index, without its foreign keys, and without either.
const TABLES: &str = "
    CREATE INDEX prices_by_pair_and_day ON prices (orig_code, dest_code, day);
    CREATE TABLE prices_without_keys (LIKE prices);
    CREATE INDEX prices_without_keys_by_pair_and_day ON prices_without_keys (orig_code, dest_code, day);
    CREATE TABLE prices_bare (LIKE prices)";

/// By number of rows.
#[derive(Debug, Serialize)]
pub struct Size {
    pub rows: u32,
    pub distinct_keys: usize,
    /// COPY into the original table: two foreign keys, an index.
    pub original: Copied,
    /// The same without foreign keys.
    pub without_keys: Copied,
    /// No keys and no index: the limit.
    pub bare: Copied,
    pub batches: Vec<Sent>,
}

/// Rows by COPY.
#[derive(Debug, Serialize)]
pub struct Copied {
    /// The median of all runs.
    pub rows_per_second: f64,
    pub seconds: Vec<f64>,
}

/// Rows by batches of one format.
#[derive(Debug, Serialize)]
pub struct Sent {
    pub format: Format,
    /// The median of all runs; validation, sums and commit included.
    pub rows_per_second: f64,
    pub seconds: Vec<f64>,
    pub peak_mib: f64,
    /// From the answer until reads need nothing of the batch any more; the median of all runs.
    pub folded_after_seconds: f64,
}

pub async fn measure(machine: &Machine, databases: &Databases, plan: &Plan) -> Result<Vec<Size>> {
    let session = databases
        .session(&databases.original(Seed::NOTHING).await?)
        .await?;
    session
        .batch_execute(TABLES)
        .await
        .context("cannot make the tables to copy into")?;
    let seeded = databases.served(plan.real).await?;
    let mut sizes = Vec::new();
    for batch in &plan.batches {
        let step = Step::begin(format_args!("batches of {} rows", batch.rows));
        let pieces = binary(Prices::new(SEED, batch.rows));
        let into = async |table| copies(databases, &session, table, &pieces, batch.rows, plan).await;
        let (original, without_keys, bare) = (
            into("prices").await?,
            into("prices_without_keys").await?,
            into("prices_bare").await?,
        );
        drop(pieces);
        sizes.push(Size {
            rows: batch.rows,
            distinct_keys: distinct_keys(Prices::new(SEED, batch.rows)),
            original,
            without_keys,
            bare,
            batches: by_format(machine, databases, &seeded, batch, plan).await?,
        });
        step.done();
    }
    Ok(sizes)
}

async fn copies(
    databases: &Databases,
    session: &Session,
    table: &str,
    pieces: &[Arc<[u8]>],
    rows: u32,
    plan: &Plan,
) -> Result<Copied> {
    let mut seconds = Vec::new();
    while again(&seconds, plan) {
        empty(session, table).await?;
        databases.checkpoint().await?;
        let started = Instant::now();
        copy(session, table, pieces, rows).await?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    empty(session, table).await?;
    Ok(Copied {
        rows_per_second: rate(rows, &seconds),
        seconds,
    })
}

async fn empty(session: &Session, table: &str) -> Result<()> {
    session
        .batch_execute(&format!("TRUNCATE {table}"))
        .await
        .with_context(|| format!("cannot empty {table}"))
}

/// Each format on a database of its own, which its batches fill one after the other.
async fn by_format(
    machine: &Machine,
    databases: &Databases,
    seeded: &str,
    batch: &plan::Batch,
    plan: &Plan,
) -> Result<Vec<Sent>> {
    let mut all = Vec::new();
    for format in &batch.formats {
        let bodies =
            [FIRST_ROWS, batch.rows].map(|rows| format.write_file(Prices::new(SEED, rows), machine.work()));
        let [first, body] = bodies;
        let (first, body) = (first?, body?);
        let name = "batches";
        databases.create(name, seeded).await?;
        let service = databases.serve(name).await?;
        let session = databases.session(name).await?;
        post(service.address, &first, FIRST_ROWS).await?;
        until_folded(&session).await?;
        all.push(sent(databases, &session, &service, &body, batch.rows, plan).await?);
        drop((service, session));
        databases.remove(name).await?;
    }
    Ok(all)
}

async fn sent(
    databases: &Databases,
    session: &Session,
    service: &Service,
    body: &Body,
    rows: u32,
    plan: &Plan,
) -> Result<Sent> {
    let (mut seconds, mut folds, mut peak) = (Vec::new(), Vec::new(), 0.0_f64);
    while again(&seconds, plan) {
        databases.checkpoint().await?;
        service.reset_peak()?;
        let sent = post(service.address, body, rows).await?;
        seconds.push(sent.seconds());
        until_folded(session).await?;
        folds.push(sent.ended.elapsed().as_secs_f64());
        peak = peak.max(service.peak()?);
    }
    Ok(Sent {
        format: body.format,
        rows_per_second: rate(rows, &seconds),
        seconds,
        peak_mib: peak,
        folded_after_seconds: median(&folds),
    })
}

/// Waits until reads need nothing of any batch any more.
pub async fn until_folded(session: &Session) -> Result<()> {
    let statement =
        "SELECT EXISTS (SELECT FROM rates_internal.batches WHERE status = 'applied' AND folded_at IS NULL)";
    let started = Instant::now();
    loop {
        let row = session.query_one(statement, &[]).await;
        let waiting: bool = row.context("cannot ask for the state of batches")?.get(0);
        if !waiting {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            bail!("the sums of a batch are not folded after {PATIENCE:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether one run more is wanted.
fn again(seconds: &[f64], plan: &Plan) -> bool {
    let runs = count(seconds.len());
    if runs < f64::from(plan.runs) {
        let too_long = |seconds: &f64| *seconds > f64::from(plan.repeat_below_seconds);
        !seconds.iter().any(too_long)
    } else {
        runs < f64::from(plan.most_runs) && seconds.iter().sum::<f64>() < f64::from(plan.enough_seconds)
    }
}

fn rate(rows: u32, seconds: &[f64]) -> f64 {
    f64::from(rows) / median(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_is_repeated_and_what_is_long_is_not() {
        let plan = Plan::full();
        assert!(again(&[], &plan));
        assert!(again(&[14.0, 14.0], &plan));
        assert!(!again(&[14.0, 14.0, 14.0], &plan));
        assert!(again(&[0.1; 8], &plan));
        assert!(!again(&[0.1; 9], &plan));
        assert!(!again(&[100.0], &plan));
    }

    #[test]
    fn a_rate_is_that_of_the_median_run() {
        assert!((rate(1000, &[4.0, 1.0, 2.0]) - 500.0).abs() < f64::EPSILON);
    }
}
