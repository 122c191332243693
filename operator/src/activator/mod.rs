//! The activator: takes requests to environments that sleep, has them wake, and forwards each request once.
//!
//! It reads environments and writes one field of their status, `wakeRequest`. It knows nothing of what an environment
//! is made of, and stores nothing: whatever it holds ends with it.

mod answer;
mod connection;
mod environments;
mod forward;
mod health;
mod hold;
mod metrics;
mod ports;
mod settings;
mod wake;
mod watched;

use std::sync::Arc;

use futures::TryStreamExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::run;
use environments::Environments;
use health::{Health, Stage};
use hold::Holder;
use metrics::Metrics;
pub use settings::{Limits, Settings};
use wake::Waker;
use watched::Watched;

/// A watch is begun again after so many seconds, so that one that went silent is noticed.
const WATCH_SECONDS: u32 = 60;
/// Few, as whole pages are what memory peaks at.
const PAGE: u32 = 100;

/// Why the activator ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Run(#[from] run::Error),
    #[error(transparent)]
    Ports(#[from] ports::Error),
    #[error("cannot follow the environments")]
    Watch(#[from] watcher::Error),
}

/// Runs until SIGTERM or SIGINT, and then until what it holds has ended.
pub async fn activate(settings: Settings) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(run::Error::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(run::Error::Signal)?;
    let configuration = Config::infer().await.map_err(run::Error::Configuration)?;
    let client = Client::try_from(configuration).map_err(run::Error::Client)?;
    let metrics = Arc::new(Metrics::default());
    let holder = Arc::new(Holder {
        environments: Environments::new(settings.limits.held_per_environment),
        waker: Waker {
            client: client.clone(),
            metrics: metrics.clone(),
        },
        metrics,
        limits: settings.limits,
        places: Arc::new(Semaphore::new(settings.limits.held as usize)),
    });
    let health = Health::new(holder.clone());
    let address = settings.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| run::Error::Listen { address, source })?;
    let serving = health::serve(listener, health.clone());
    let (stop, connections) = (CancellationToken::new(), TaskTracker::new());
    ports::accept(
        ports::open(settings.ports, settings.listen).await?,
        &holder,
        &connections,
        &stop,
    );
    let ends = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Services lead here a moment longer.
        health.set(Stage::Ending);
        tracing::info!(
            held = holder.metrics.held(),
            "told to end: finishing what is held"
        );
        sleep(settings.drain).await;
        stop.cancel();
        connections.close();
        connections.wait().await;
    };
    tokio::select! {
        () = ends => Ok(()),
        ended = follow(&client, &settings, &holder.environments, &health) => {
            ended?;
            Err(run::Error::Ended("the watch").into())
        }
        ended = serving => {
            ended.map_err(run::Error::Health)?;
            Err(run::Error::Ended("the health server").into())
        }
    }
}

/// Follows the environments; whatever fails is tried again after growing pauses.
async fn follow(
    client: &Client,
    settings: &Settings,
    environments: &Environments,
    health: &Health,
) -> Result<(), watcher::Error> {
    let api: Api<Watched> = match settings.namespaces.only() {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let mut parameters = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE);
    parameters.field_selector = settings.namespaces.field_selector();
    let logged = |error: &watcher::Error| tracing::warn!(%error, "the watch of environments failed and is tried again");
    let events = watcher(api, parameters).inspect_err(logged).default_backoff();
    let mut events = std::pin::pin!(events);
    loop {
        // An error was logged, and the stream goes on after a pause.
        match events.try_next().await {
            Ok(Some(watcher::Event::Init)) => environments.begin(),
            Ok(Some(watcher::Event::InitApply(environment) | watcher::Event::Apply(environment))) => {
                environments.put(&environment, Instant::now());
            }
            Ok(Some(watcher::Event::InitDone)) => {
                environments.listed();
                health.set(Stage::Ready);
            }
            Ok(Some(watcher::Event::Delete(environment))) => environments.remove(&environment),
            Ok(None) => return Ok(()),
            Err(_) => {}
        }
    }
}
