//! Reads in number: as many as can be had, or as many a second as asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::data;
use super::http::{Connection, rates};
use super::latency::{Latency, count};
use fastrand::Rng;

/// How much longer than planned a run may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Requests of every pair.
pub struct Requests(Vec<Vec<u8>>);

impl Requests {
    pub fn all() -> Arc<Self> {
        Arc::new(Self(
            data::pairs()
                .map(|(origin, destination)| rates(origin, destination))
                .collect(),
        ))
    }

    fn draw(&self, random: &mut Rng) -> &[u8] {
        random.choice(&self.0).map_or(&[], Vec::as_slice)
    }
}

/// What was reached.
pub struct Reached {
    pub per_second: f64,
    pub latency: Latency,
    /// What this program took of one processor; 1 is all of it.
    pub own_processor: f64,
}

/// Closed loop: every connection sends its next request when it has its answer.
pub async fn closed(
    address: SocketAddr,
    connections: u32,
    length: Duration,
    requests: &Arc<Requests>,
) -> Result<Reached> {
    let opened = open_all(address, connections).await?;
    let busy_before = busy()?;
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for (seed, mut connection) in (0..).zip(opened) {
        let requests = Arc::clone(requests);
        tasks.spawn(async move {
            let mut random = Rng::with_seed(seed);
            let mut latencies = Vec::with_capacity(1 << 16);
            let mut now = Instant::now();
            while now.duration_since(started) < length {
                let sent = now;
                connection.get(requests.draw(&mut random)).await?;
                now = Instant::now();
                latencies.push(now.duration_since(sent));
            }
            anyhow::Ok(latencies)
        });
    }
    let latencies = timeout(length + PATIENCE, gather(tasks))
        .await
        .context("the reads do not end")??;
    let seconds = started.elapsed().as_secs_f64();
    let own_processor = busy()?.saturating_sub(busy_before).as_secs_f64() / seconds;
    let latency = Latency::of(latencies).context("no read was answered")?;
    Ok(Reached {
        per_second: count(latency.count) / seconds,
        latency,
        own_processor,
    })
}

/// A read of an open loop.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// When it was to be sent, whether a connection was free or not.
    pub due: Instant,
    /// From then to the end of the answer.
    pub latency: Duration,
}

/// Open loop: reads are due at fixed times, whatever the answers take.
pub struct Open {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Result<Vec<Read>>>,
}

impl Open {
    pub async fn start(
        address: SocketAddr,
        connections: u32,
        per_second: u32,
        requests: &Arc<Requests>,
    ) -> Result<Self> {
        let (sender, queue) = mpsc::unbounded_channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut tasks = JoinSet::new();
        for (seed, mut connection) in (0..).zip(open_all(address, connections).await?) {
            let (queue, requests) = (Arc::clone(&queue), Arc::clone(requests));
            tasks.spawn(async move {
                let mut random = Rng::with_seed(seed);
                let mut reads = Vec::new();
                loop {
                    let next = queue.lock().await.recv().await;
                    let Some(due) = next else { return Ok(reads) };
                    connection.get(requests.draw(&mut random)).await?;
                    let latency = Instant::now().duration_since(due);
                    reads.push(Read { due, latency });
                }
            });
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        // A thread wakes on time; the runtime's timers are only as fine as a millisecond.
        thread::spawn(move || {
            let interval = Duration::from_secs(1) / per_second.max(1);
            let mut due = Instant::now();
            while !stopped.load(Ordering::Relaxed) && sender.send(due).is_ok() {
                due += interval;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        Ok(Self { stop, tasks })
    }

    /// Ends it when all that was due has been answered.
    pub async fn finish(mut self) -> Result<Vec<Read>> {
        self.stop.store(true, Ordering::Relaxed);
        let tasks = std::mem::take(&mut self.tasks);
        timeout(PATIENCE, gather(tasks))
            .await
            .context("the reads do not end")?
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn open_all(address: SocketAddr, connections: u32) -> Result<Vec<Connection>> {
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(Connection::open(address).await?);
    }
    Ok(opened)
}

/// How long this thread, which does all of a closed loop, has had a processor so far.
fn busy() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).context("cannot ask for the time of this thread")?;
    let times = [usage.user_time(), usage.system_time()];
    let microseconds = times.iter().map(TimeValLike::num_microseconds).sum::<i64>();
    Ok(Duration::from_micros(u64::try_from(microseconds).unwrap_or(0)))
}

/// What all tasks give; the first error ends it.
async fn gather<T: 'static>(mut tasks: JoinSet<Result<Vec<T>>>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    while let Some(task) = tasks.join_next().await {
        match task {
            Ok(part) => all.extend(part?),
            Err(error) => bail!("a connection's task ended unexpectedly: {error}"),
        }
    }
    Ok(all)
}
