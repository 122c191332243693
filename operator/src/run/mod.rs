//! The process: everything that runs beside each other, supervised. What ends unasked, or panics, ends
//! all, and says why.

mod lead;
mod settings;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use kube::Config;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::health::{self, Health, Sources, Stage};
use crate::metrics::Metrics;

use lead::lead;
pub use settings::{LeaseName, Settings};
pub use tasks::Error;
use tasks::outcome;

/// Runs until SIGTERM or SIGINT, or until a part of it fails.
pub async fn run(settings: Settings) -> Result<(), Error> {
    let mut configuration = Config::infer().await.map_err(Error::Configuration)?;
    // A watch is silent for up to five minutes; the server ends it earlier.
    configuration.read_timeout = Some(Duration::from_secs(330));
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|source| Error::Listen {
            address: settings.listen,
            source,
        })?;
    let health = Health::waiting_for("the start");
    let sources = Sources {
        health: health.clone(),
        metrics: Arc::new(Metrics::default()),
        cache: watch::Sender::default(),
    };
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signal)?;

    let serving = tokio::spawn(health::serve(listener, sources.clone()));
    let mut serving = std::pin::pin!(outcome("the health server", serving));
    let leading = tokio::spawn(lead(settings, configuration, sources, stop.clone()));
    let mut leading = std::pin::pin!(outcome("the controller", leading));
    tokio::select! {
        ended = &mut serving => return Err(match ended? {
            Ok(()) => Error::Ended("the health server"),
            Err(source) => Error::Health(source),
        }),
        ended = &mut leading => return ended?.and(Err(Error::Ended("the controller"))),
        _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is under way"),
        _ = interrupt.recv() => tracing::info!("SIGINT: finishing what is under way"),
    }
    health.set(Stage::Ending);
    stop.cancel();
    leading.await?
}
