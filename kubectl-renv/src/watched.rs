//! Watching one environment: each change of it, and waiting until something holds.

use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use futures::{Stream, StreamExt as _};
use kube::api::DynamicObject;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, watcher};

use crate::cluster::Cluster;
use crate::environment::Environment;
use crate::failure::Failure;

type Events = Pin<Box<dyn Stream<Item = watcher::Result<Event<DynamicObject>>> + Send>>;

/// The changes of an environment, as the API server tells them.
pub struct Changes {
    events: Events,
    seen: bool,
}

/// What a change left.
pub enum Change {
    Is(Box<Environment>),
    Gone,
    /// The watch broke, and is tried again.
    Failed(watcher::Error),
}

impl Changes {
    #[must_use]
    pub fn of(cluster: &Cluster, name: &str) -> Self {
        let config = Config::default().fields(&format!("metadata.name={name}"));
        Self {
            events: Box::pin(watcher(cluster.environments(), config).default_backoff()),
            seen: false,
        }
    }

    /// The next change; the first is how it is now.
    pub async fn next(&mut self) -> Change {
        loop {
            match self.events.next().await {
                Some(Ok(Event::Init)) => self.seen = false,
                Some(Ok(Event::InitApply(object) | Event::Apply(object))) => {
                    self.seen = true;
                    return Change::Is(Box::new(Environment::new(object)));
                }
                Some(Ok(Event::InitDone)) if self.seen => {}
                Some(Ok(Event::InitDone | Event::Delete(_))) => return Change::Gone,
                Some(Err(error)) => return Change::Failed(error),
                // It does not end by itself.
                None => futures::future::pending().await,
            }
        }
    }
}

/// What a look at an environment came to.
pub enum Look {
    Holds,
    NotYet,
    /// It cannot come any more, and why.
    Never(String),
}

/// Waits until it holds, and tells on standard error what is going on. `None` is an environment that does not exist.
/// Gives it as it was last seen.
pub async fn until(
    cluster: &Cluster,
    name: &str,
    (what, patience): (&str, Duration),
    mut look: impl FnMut(Option<&Environment>) -> Look,
) -> Result<Option<Environment>> {
    let mut changes = Changes::of(cluster, name);
    let started = Instant::now();
    let mut told = String::new();
    let mut last: Option<Environment> = None;
    loop {
        let rest = patience.saturating_sub(started.elapsed());
        let Ok(change) = tokio::time::timeout(rest, changes.next()).await else {
            let state = last.as_ref().map_or_else(
                || "it does not exist".to_owned(),
                |environment| format!("{}: {}", environment.phase(), environment.message()),
            );
            return Err(Failure::NotReached(format!(
                "{} is not {what} after {} s; it is {state}. `kubectl renv status {name} -n {}` shows more",
                cluster.key(name),
                patience.as_secs(),
                cluster.namespace,
            ))
            .into());
        };
        last = match change {
            Change::Is(environment) => Some(*environment),
            Change::Gone => None,
            Change::Failed(watcher::Error::InitialListFailed(error)) => {
                return Err(cluster.explain(error, &format!("watch environment {name}")));
            }
            // It is tried again, after a pause.
            Change::Failed(_) => continue,
        };
        let now = last.as_ref().map_or_else(
            || "does not exist".to_owned(),
            |environment| format!("{}: {}", environment.phase(), environment.message()),
        );
        match look(last.as_ref()) {
            Look::Holds => return Ok(last),
            Look::Never(why) => return Err(anyhow!(Failure::NotReached(why))),
            Look::NotYet if now == told => {}
            Look::NotYet => {
                eprintln!("{:>5.1} s  {now}", started.elapsed().as_secs_f64());
                told = now;
            }
        }
    }
}
