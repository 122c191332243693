//! The queue's loop: which environment is looked at when, and how many at once.

mod queue;
mod seed_sources;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::cache::{Cache, Key};
use crate::error_chain::chain;
use crate::metrics::Outcome;
use crate::reconcile::{Context, Error, Next, reconcile};
use crate::settings::Namespaces;
use crate::sleeping;
use queue::Queue;

/// Where and how the controller looks.
#[derive(Clone, Debug)]
pub struct Scope {
    pub namespaces: Namespaces,
    /// How many environments are looked at at once.
    pub concurrency: u16,
}

/// How long a reconcile may take: no request to the API server is waited for longer.
const LONGEST: Duration = Duration::from_mins(2);

/// How often in a row an environment is looked at again at once because something was written.
const AT_ONCE: u32 = 4;

/// Reconciles until it is told to stop, and then finishes what is under way. Every environment is
/// looked at once at the beginning, and then whenever something of it changes. `triggered` is what
/// [`follow`](crate::cache::follow) gives.
pub async fn controller(
    context: Context,
    scope: Scope,
    mut triggered: UnboundedReceiver<Key>,
    stop: CancellationToken,
) {
    let context = Arc::new(context);
    let mut sources = std::pin::pin!(seed_sources::changes(&context.client, &scope.namespaces).fuse());
    let activators = match context.sleeping.namespace() {
        Some(namespace) => sleeping::changes(&context.client, namespace).left_stream(),
        None => futures::stream::pending().right_stream(),
    };
    let mut activators = std::pin::pin!(activators.fuse());
    let mut work = Work::default();
    let mut news = context.cache.news();
    // What does not exist in half of a picture would be made a second time.
    while !context.cache.waiting_for().is_empty() {
        tokio::select! {
            _ = news.changed() => {}
            () = stop.cancelled() => return,
        }
    }
    while !stop.is_cancelled() {
        work.start(&context, scope.concurrency);
        let full = work.queue.running() >= usize::from(scope.concurrency);
        let wake = work.queue.wakes_at().filter(|_| !full);
        tokio::select! {
            () = stop.cancelled() => break,
            Some(key) = triggered.recv() => work.queue.add(key, Instant::now()),
            Some(source) = sources.next() => {
                for key in context.cache.referring_to(&source) {
                    work.queue.add(key, Instant::now());
                }
            }
            Some(pods) = activators.next() => {
                for key in context.sleeping.put(pods, &context.cache) {
                    work.queue.add(key, Instant::now());
                }
            }
            Some(ended) = work.running.join_next_with_id() => work.finish(&context, ended),
            () = async { sleep_until(wake.unwrap_or_else(Instant::now)).await }, if wake.is_some() => {}
        }
    }
    while let Some(ended) = work.running.join_next_with_id().await {
        work.finish(&context, ended);
    }
}

/// What is waited for before anything is reconciled: nothing, once it is empty.
pub async fn until_listed(cache: &Cache, told: impl Fn(Vec<String>)) {
    let mut news: watch::Receiver<()> = cache.news();
    loop {
        let missing = cache.waiting_for();
        let done = missing.is_empty();
        told(missing);
        if done || news.changed().await.is_err() {
            return;
        }
    }
}

type Result = std::result::Result<Next, Error>;

#[derive(Default)]
struct Work {
    queue: Queue,
    running: JoinSet<Result>,
    tasks: HashMap<Id, (Key, Instant)>,
    /// How often in a row an environment could not be reconciled, or had something to be written.
    in_a_row: HashMap<Key, InARow>,
}

#[derive(Clone, Copy, Default)]
struct InARow {
    failures: u32,
    writes: u32,
}

impl Work {
    fn start(&mut self, context: &Arc<Context>, concurrency: u16) {
        let now = Instant::now();
        while self.queue.running() < usize::from(concurrency)
            && let Some(key) = self.queue.next(now)
        {
            let span = tracing::info_span!("reconcile", environment = %key);
            let (context, environment) = (context.clone(), key.clone());
            let failures = self.in_a_row.get(&key).map_or(0, |row| row.failures);
            let one = async move {
                match timeout(LONGEST, Box::pin(reconcile(&environment, failures, &context))).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(Error::Slow(LONGEST)),
                }
            };
            let id = self.running.spawn(one.instrument(span)).id();
            self.tasks.insert(id, (key, now));
        }
        context.metrics.queue(self.queue.depth(now), self.queue.running());
    }

    fn finish(&mut self, context: &Context, ended: std::result::Result<(Id, Result), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some((key, began)) = self.tasks.remove(&id) else {
            return;
        };
        self.queue.done(&key);
        let outcome = match ended {
            Ok((_, Ok(next))) => self.after(&key, next),
            Ok((_, Err(error))) => self.failed(&key, &chain(&error)),
            // A mistake in this program: it stalls no other environment.
            Err(error) => self.failed(&key, &error.to_string()),
        };
        context.metrics.reconciled(outcome, began.elapsed());
    }

    fn after(&mut self, key: &Key, next: Next) -> Outcome {
        let (outcome, pause) = match next {
            Next::Gone => {
                self.in_a_row.remove(key);
                return Outcome::Gone;
            }
            Next::Settled(pause) => {
                self.in_a_row.remove(key);
                (Outcome::Settled, pause)
            }
            Next::Wrote => {
                let row = self.in_a_row.entry(key.clone()).or_default();
                row.failures = 0;
                row.writes += 1;
                // Somebody else may be writing against it.
                let more = row.writes.saturating_sub(AT_ONCE);
                let pause = if more == 0 { Duration::ZERO } else { growing(more) };
                (Outcome::Wrote, pause)
            }
        };
        self.queue.add(key.clone(), Instant::now() + pause);
        outcome
    }

    fn failed(&mut self, key: &Key, error: &str) -> Outcome {
        let row = self.in_a_row.entry(key.clone()).or_default();
        row.failures += 1;
        let pause = growing(row.failures);
        tracing::warn!(environment = %key, error, ?pause, "tried again");
        self.queue.add(key.clone(), Instant::now() + pause);
        Outcome::Failed
    }
}

/// Half a second the first time, a minute after many.
fn growing(times: u32) -> Duration {
    Duration::from_millis(500 << times.saturating_sub(1).min(7)).min(Duration::from_mins(1))
}
