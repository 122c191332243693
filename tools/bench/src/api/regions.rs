//! Reads of pairs at a fixed rate, open-loop, while the largest regions are read: what a caller notices of others who ask
//! for much.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tokio::task::JoinSet;

use super::data::{self, LAST_DAY};
use super::databases::{Databases, tidy};
use super::http::{Connection, request};
use super::latency::Latency;
use super::load::{Open, Requests};
use super::plan::{Plan, Seed};
use host::terminal::Step;

/// Before a read counts: connections and statements are then warm.
const WARM_UP: Duration = Duration::from_secs(1);

/// The region that all ports are in.
const ALL: &str = "sea";

/// Of a number of ports each, every pair of which has a price on every day; all pairs that are read are among them.
const ORIGINS: i32 = 53;
const DESTINATIONS: i32 = 52;

#[derive(Debug, Serialize)]
pub struct Regions {
    pub reads_per_second: u32,
    pub callers: u32,
    /// Pairs and days that have prices; a read of all pairs adds up all of them.
    pub keys: u32,
    /// Of reads of pairs, without and with those of all.
    pub quiet: Latency,
    pub beside: Latency,
    /// Reads of all pairs: those with an answer, the median of their time in milliseconds, and those with 503.
    pub answered: usize,
    pub median: f64,
    pub refused: usize,
    pub peak_mib: f64,
}

pub async fn measure(databases: &Databases, plan: &Plan) -> Result<Regions> {
    let step = Step::begin("reads of pairs while all pairs are read");
    let name = "regions";
    databases
        .create(name, &databases.served(Seed::NOTHING).await?)
        .await?;
    let keys = fill(databases, name, plan.regions.days).await?;
    databases.checkpoint().await?;
    let service = databases.serve(name).await?;
    let quiet = read(service.address, plan).await?;
    let large = Large::start(service.address, plan.regions.callers);
    let beside = read(service.address, plan).await?;
    let (times, refused) = large.finish().await?;
    let answered = times.len();
    let peak_mib = service.peak()?;
    drop(service);
    databases.remove(name).await?;
    step.done();
    Ok(Regions {
        reads_per_second: plan.regions.reads_per_second,
        callers: plan.regions.callers,
        keys,
        quiet,
        beside,
        answered,
        median: Latency::of(times)
            .context("no read of all pairs was answered")?
            .p50,
        refused,
        peak_mib,
    })
}

/// Makes the sums as they are when prices are folded.
async fn fill(databases: &Databases, name: &str, days: i32) -> Result<u32> {
    let session = databases.session(name).await?;
    let [(first_origin, _), (first_destination, _)] = data::ports();
    let statement = format!(
        "INSERT INTO rates_internal.sums (orig_code, dest_code, day, total, count)
         SELECT o::text, d::text, date '{LAST_DAY}' - n, 3000 + n, 3
         FROM generate_series({first_origin}, {first_origin} + {ORIGINS} - 1) AS o,
             generate_series({first_destination}, {first_destination} + {DESTINATIONS} - 1) AS d,
             generate_series(0, {days} - 1) AS n
         ORDER BY 1, 2, 3"
    );
    session
        .batch_execute(&statement)
        .await
        .context("cannot fill the sums")?;
    tidy(&session).await?;
    u32::try_from(ORIGINS * DESTINATIONS * days).context("there are too many days")
}

/// Reads of pairs.
async fn read(address: SocketAddr, plan: &Plan) -> Result<Latency> {
    let open = Open::start(
        address,
        plan.connections,
        plan.regions.reads_per_second,
        &Requests::all(),
    )
    .await?;
    tokio::time::sleep(WARM_UP).await;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(plan.regions.seconds.into())).await;
    let reads = open.finish().await?;
    let latencies = reads
        .iter()
        .filter(|read| read.due >= began)
        .map(|read| read.latency);
    Latency::of(latencies.collect()).context("no read was answered")
}

/// Reads of all pairs, closed-loop.
struct Large {
    stop: Arc<AtomicBool>,
    callers: JoinSet<Result<(Vec<Duration>, usize)>>,
}

impl Large {
    fn start(address: SocketAddr, callers: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let callers = (0..callers)
            .map(|caller| read_all(address, caller, Arc::clone(&stop)))
            .collect();
        Self { stop, callers }
    }

    /// How long answers took, and how many requests were refused.
    async fn finish(self) -> Result<(Vec<Duration>, usize)> {
        self.stop.store(true, Ordering::Relaxed);
        let (mut times, mut refused) = (Vec::new(), 0);
        for caller in self.callers.join_all().await {
            let (more, others) = caller?;
            times.extend(more);
            refused += others;
        }
        Ok((times, refused))
    }
}

/// Each range is another one of ten years, so that no answer is one that was kept.
async fn read_all(address: SocketAddr, caller: u32, stop: Arc<AtomicBool>) -> Result<(Vec<Duration>, usize)> {
    let mut connection = Connection::open(address).await?;
    let (mut times, mut refused) = (Vec::new(), 0);
    for range in (0..28 * 28).cycle().skip(caller as usize * 280) {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (first, last) = (1 + range % 28, 1 + range / 28);
        let target = format!(
            "/rates?date_from=2011-02-{first:02}&date_to=2021-01-{last:02}&orig_code={ALL}&dest_code={ALL}"
        );
        let sent = Instant::now();
        match connection.ask(&request(&target)).await?.0 {
            200 => times.push(sent.elapsed()),
            503 => refused += 1,
            status => bail!("the answer to a read of all pairs is {status}"),
        }
    }
    Ok((times, refused))
}
