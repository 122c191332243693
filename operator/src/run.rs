//! The process: everything that runs beside each other, supervised. What ends unasked ends all.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::controller::{Scope, controller, until_listed};
use crate::health::{self, Readiness, Sources};
use crate::identity::MANAGER;
use crate::leader::{self, Candidate};
use crate::metrics::{CountRequests, Metrics};
use crate::reconcile::Context;
use crate::settings::Images;
use crate::store;

/// Everything the process was started with.
#[derive(Clone, Debug)]
pub struct Settings {
    pub images: Images,
    pub scope: Scope,
    pub listen: SocketAddr,
    /// The namespace of the lease; `None`: no other operator is reckoned with.
    pub lease_namespace: Option<String>,
    /// Who this process is among several.
    pub identity: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no way to reach a Kubernetes API was found: run in a cluster, or set KUBECONFIG")]
    Configuration(#[source] kube::config::InferConfigError),
    #[error("cannot make a client for the Kubernetes API")]
    Client(#[source] kube::Error),
    #[error("cannot listen on {address}: choose another one with --listen")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },
    #[error("cannot watch for signals")]
    Signal(#[source] std::io::Error),
    #[error("the health server ended")]
    Health(#[source] std::io::Error),
    #[error("{0} ended unasked")]
    Ended(&'static str),
    #[error(transparent)]
    Leader(#[from] leader::Error),
}

/// Runs until SIGTERM or SIGINT, or until a part of it fails.
pub async fn run(settings: Settings) -> Result<(), Error> {
    let mut configuration = Config::infer().await.map_err(Error::Configuration)?;
    // A watch is silent for up to five minutes; the server ends it earlier.
    configuration.read_timeout = Some(Duration::from_secs(330));
    let metrics = Arc::new(Metrics::default());
    let client = ClientBuilder::try_from(configuration)
        .map_err(Error::Client)?
        .with_layer(&CountRequests(metrics.clone()))
        .build();
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|source| Error::Listen {
            address: settings.listen,
            source,
        })?;
    let readiness = Readiness::waiting("the lease");
    let sources = Sources {
        readiness: readiness.clone(),
        metrics,
        store: Arc::default(),
    };
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signal)?;

    let health = tokio::spawn(health::serve(listener, sources.clone()));
    let leading = tokio::spawn(lead(settings, client, sources, stop.clone()));
    tokio::pin!(leading);
    tokio::select! {
        ended = health => match ended {
            Ok(Err(source)) => return Err(Error::Health(source)),
            Ok(Ok(())) | Err(_) => return Err(Error::Ended("the health server")),
        },
        ended = &mut leading => return ended.unwrap_or(Err(Error::Ended("the controller"))),
        _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is under way"),
        _ = interrupt.recv() => tracing::info!("SIGINT: finishing what is under way"),
    }
    stop.cancel();
    leading.await.unwrap_or(Err(Error::Ended("the controller")))
}

/// Waits for the lease, and reconciles for as long as it holds.
async fn lead(
    settings: Settings,
    client: Client,
    sources: Sources,
    stop: CancellationToken,
) -> Result<(), Error> {
    let Sources {
        readiness,
        metrics,
        store: led,
    } = sources;
    let candidate = settings
        .lease_namespace
        .as_ref()
        .map(|namespace| Candidate::new(client.clone(), namespace, MANAGER, settings.identity.clone()));
    if let Some(candidate) = &candidate {
        tokio::select! {
            () = candidate.acquire(|what| readiness.wait_for(what)) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
    metrics.leads();
    let reporter = Reporter {
        controller: MANAGER.to_owned(),
        instance: Some(settings.identity.clone()),
    };
    let (store, triggered, following) =
        store::follow(&client, settings.scope.namespace.as_deref(), metrics.clone());
    // The only one to set it.
    let _ = led.set(store.clone());
    let context = Context {
        client: client.clone(),
        store: store.clone(),
        metrics,
        images: settings.images,
        recorder: Recorder::new(client, reporter),
    };
    let mut following = AbortOnDropHandle::new(tokio::spawn(following));
    let mut controller = tokio::spawn(controller(context, settings.scope, triggered, stop.clone()));
    let listed = async {
        until_listed(&store, |missing| match missing.first() {
            Some(first) if first == "ratesenvironments" => readiness.wait_for(format!(
                "the first list of {}; is the definition in crds/ installed?",
                missing.join(", ")
            )),
            Some(_) => readiness.wait_for(format!("the first list of {}", missing.join(", "))),
            None => readiness.ready(),
        })
        .await;
        tracing::info!("leading");
        // The controller tells of its end itself.
        std::future::pending::<()>().await;
    };
    let keeping = async {
        match &candidate {
            Some(candidate) => candidate.keep().await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = &mut controller => {
            match ended {
                Ok(()) if stop.is_cancelled() => Ok(()),
                Ok(()) | Err(_) => Err(Error::Ended("the controller")),
            }
        }
        _ = &mut following => Err(Error::Ended("a watch")),
        lost = keeping => Err(lost.into()),
        () = listed => Ok(()),
    };
    if let (Ok(()), Some(candidate)) = (&ended, &candidate) {
        candidate.release().await;
    }
    ended
}

/// An error with its causes on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
