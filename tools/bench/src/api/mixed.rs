//! Reads at a fixed rate, open-loop, while batches run: what a caller notices of a batch.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::batches::{SEED, until_folded};
use super::data::Prices;
use super::databases::Databases;
use super::format::{Body, Format};
use super::latency::Latency;
use super::load::{Open, Read, Requests};
use super::machine::Machine;
use super::plan::Plan;
use super::post::post;
use super::service::Service;
use host::terminal::Step;

/// Before a read counts: connections and statements are then warm.
const WARM_UP: Duration = Duration::from_secs(1);

/// Reads beside batches of one size.
#[derive(Debug, Serialize)]
pub struct Mixed {
    pub rows: u32,
    pub reads_per_second: u32,
    /// Without any batch.
    pub quiet: Latency,
    pub beside: Vec<Beside>,
}

/// Reads beside batches of one format.
#[derive(Debug, Serialize)]
pub struct Beside {
    pub format: Format,
    /// Of the batches, each from its first byte to its answer.
    pub seconds: Vec<f64>,
    /// Reads that were due in that time.
    pub during: Latency,
    /// Reads that were due between a batch's answer and the end of its folding.
    pub folding: Option<Latency>,
    pub peak_mib: f64,
}

/// From an instant to another.
#[derive(Clone, Copy)]
struct Span(Instant, Instant);

pub async fn measure(machine: &Machine, databases: &Databases, plan: &Plan) -> Result<Mixed> {
    let step = Step::begin("reads while batches run");
    let seeded = databases.served(plan.real).await?;
    let mut quiet = None;
    let mut beside = Vec::new();
    for format in Format::ALL {
        let body = format.write_file(Prices::new(SEED, plan.mixed.rows), machine.work())?;
        let name = "mixed";
        databases.create(name, &seeded).await?;
        let service = databases.serve(name).await?;
        if quiet.is_none() {
            quiet = Some(quietly(databases, &service, plan).await?);
        }
        beside.push(with_batches(databases, &service, name, &body, plan).await?);
        drop(service);
        databases.remove(name).await?;
    }
    step.done();
    Ok(Mixed {
        rows: plan.mixed.rows,
        reads_per_second: plan.mixed.reads_per_second,
        quiet: quiet.context("nothing was measured")?,
        beside,
    })
}

async fn start(service: &Service, plan: &Plan) -> Result<Open> {
    let rate = plan.mixed.reads_per_second;
    let open = Open::start(service.address, plan.connections, rate, &Requests::all()).await?;
    tokio::time::sleep(WARM_UP).await;
    Ok(open)
}

async fn quietly(databases: &Databases, service: &Service, plan: &Plan) -> Result<Latency> {
    databases.checkpoint().await?;
    let open = start(service, plan).await?;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(plan.mixed.quiet_seconds.into())).await;
    let span = Span(began, Instant::now());
    latency(&open.finish().await?, &[span]).context("no read was answered")
}

async fn with_batches(
    databases: &Databases,
    service: &Service,
    database: &str,
    body: &Body,
    plan: &Plan,
) -> Result<Beside> {
    let session = databases.session(database).await?;
    databases.checkpoint().await?;
    service.reset_peak()?;
    let open = start(service, plan).await?;
    let (mut seconds, mut during, mut folding) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.mixed.batches {
        let sent = post(service.address, body, plan.mixed.rows).await?;
        seconds.push(sent.seconds());
        during.push(Span(sent.began, sent.ended));
        until_folded(&session).await?;
        folding.push(Span(sent.ended, Instant::now()));
    }
    let reads = open.finish().await?;
    Ok(Beside {
        format: body.format,
        seconds,
        during: latency(&reads, &during).context("no read was due while a batch ran")?,
        folding: latency(&reads, &folding),
        peak_mib: service.peak()?,
    })
}

/// Of the reads that were due in one of the spans.
fn latency(reads: &[Read], spans: &[Span]) -> Option<Latency> {
    let within = |read: &&Read| spans.iter().any(|span| span.0 <= read.due && read.due < span.1);
    Latency::of(reads.iter().filter(within).map(|read| read.latency).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_counts_where_it_was_due_and_not_where_it_was_answered() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let read = |due, latency| Read {
            due: at(due),
            latency: Duration::from_millis(latency),
        };
        let reads = [read(0, 1), read(10, 100), read(20, 1)];
        let latency = latency(&reads, &[Span(at(5), at(15))]).unwrap();
        assert_eq!((latency.count, latency.max.round()), (1, 100.0_f64));
    }
}
