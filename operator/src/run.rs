//! The process: everything that runs beside each other, supervised. What ends unasked, or panics, ends
//! all, and says why.
//!
//! Leading and reconciling are one task. Were the controller stuck in it, the lease would not be
//! renewed either, another process would take over, and `/livez` would tell the kubelet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::apply::{Corrections, Pacing};
use crate::controller::{Scope, controller, until_listed};
use crate::fence::Fence;
use crate::health::{self, Health, Sources, Stage};
use crate::identity::MANAGER;
use crate::leader::{self, Candidate, Held, Timing, Waiting};
use crate::metrics::{CountRequests, Metrics};
use crate::reconcile::Context;
use crate::settings::Images;
use crate::store;

/// How long what is under way may take once the process was told to end: less than the pod's grace
/// period, so that the lease is given up in any case.
const FINISH: Duration = Duration::from_secs(20);
/// How soon it is tried again whether everything can be listed.
const AGAIN: Duration = Duration::from_secs(2);

/// Everything the process was started with.
#[derive(Clone, Debug)]
pub struct Settings {
    pub images: Images,
    pub scope: Scope,
    /// How many databases and APIs are replaced at once after an upgrade of the operator.
    pub rollouts_at_once: u16,
    pub listen: SocketAddr,
    /// `None`: no other operator is reckoned with.
    pub lease: Option<LeaseName>,
    /// Who this process is among several.
    pub identity: String,
}

/// Where the lease is by which one operator leads.
#[derive(Clone, Debug)]
pub struct LeaseName {
    pub namespace: String,
    pub name: String,
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
    #[error("{task} panicked: {message}")]
    Panicked { task: &'static str, message: String },
    #[error(transparent)]
    Leader(#[from] leader::Error),
}

/// Runs until SIGTERM or SIGINT, or until a part of it fails.
pub async fn run(settings: Settings) -> Result<(), Error> {
    let mut configuration = Config::infer().await.map_err(Error::Configuration)?;
    // A watch is silent for up to five minutes; the server ends it earlier.
    configuration.read_timeout = Some(Duration::from_secs(330));
    let metrics = Arc::new(Metrics::default());
    let fence = Fence::default();
    let client = ClientBuilder::try_from(configuration)
        .map_err(Error::Client)?
        .with_layer(&CountRequests(metrics.clone()))
        .with_layer(&fence)
        .build();
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|source| Error::Listen {
            address: settings.listen,
            source,
        })?;
    let health = Health::waiting_for("the start");
    let sources = Sources {
        health: health.clone(),
        metrics,
        store: Arc::default(),
    };
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signal)?;

    let serving = tokio::spawn(health::serve(listener, sources.clone()));
    let mut serving = std::pin::pin!(outcome("the health server", serving));
    let leading = tokio::spawn(lead(settings, client, fence, sources, stop.clone()));
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

/// How a task ended; a panic is an error that holds its message.
async fn outcome<T>(
    task: &'static str,
    running: impl Future<Output = Result<T, JoinError>>,
) -> Result<T, Error> {
    running.await.map_err(|failed| match failed.try_into_panic() {
        Ok(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let message = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Error::Panicked {
                task,
                message: message.unwrap_or_else(|| "without a message".to_owned()),
            }
        }
        Err(_) => Error::Ended(task),
    })
}

/// Waits for the lease, and reconciles for as long as it holds.
async fn lead(
    settings: Settings,
    client: Client,
    fence: Fence,
    sources: Sources,
    stop: CancellationToken,
) -> Result<(), Error> {
    let health = sources.health.clone();
    tokio::select! {
        biased;
        never = health.beat() => never,
        ended = stand_and_lead(settings, client, fence, sources, stop) => ended,
    }
}

async fn stand_and_lead(
    settings: Settings,
    client: Client,
    fence: Fence,
    sources: Sources,
    stop: CancellationToken,
) -> Result<(), Error> {
    let Sources {
        health,
        metrics,
        store: led,
    } = sources;
    let candidate = settings.lease.as_ref().map(|lease| {
        let identity = settings.identity.clone();
        Candidate::new(
            client.clone(),
            &lease.namespace,
            &lease.name,
            identity,
            Timing::default(),
        )
        .with_fence(fence.clone())
    });
    let held = tokio::select! {
        held = stand(candidate.as_ref(), &client, &settings.scope, &health) => held,
        () = stop.cancelled() => return Ok(()),
    };
    metrics.leads();
    let reporter = Reporter {
        controller: MANAGER.to_owned(),
        instance: Some(settings.identity.clone()),
    };
    let (store, triggered, following) = store::follow(
        &client,
        &settings.scope.namespaces,
        metrics.clone(),
        store::Timing::default(),
    );
    // The only one to set it.
    let _ = led.set(store.clone());
    let context = Context {
        client: client.clone(),
        store: store.clone(),
        metrics,
        images: settings.images,
        recorder: Recorder::new(client, reporter),
        corrections: Corrections::default(),
        pacing: Pacing::new(env!("CARGO_PKG_VERSION"), settings.rollouts_at_once),
    };
    let following = AbortOnDropHandle::new(tokio::spawn(following));
    let controller = controller(context, settings.scope, triggered, stop.clone());
    let told = async {
        until_listed(&store, |missing| {
            health.set(if missing.is_empty() {
                Stage::Leading
            } else {
                Stage::WaitingFor(format!("the first list of {}", missing.join(", ")))
            });
        })
        .await;
        tracing::info!("leading");
        // The controller tells of its end itself.
        std::future::pending::<()>().await;
    };
    let keeping = async {
        match candidate.as_ref().zip(held) {
            Some((candidate, held)) => candidate.keep(held).await,
            None => std::future::pending().await,
        }
    };
    let overdue = async {
        stop.cancelled().await;
        sleep(FINISH).await;
    };
    tokio::select! {
        // The lease before the controller: who lost it does not begin anything more. All that is not
        // chosen here is dropped, reconciles under way with it.
        biased;
        lost = keeping => return Err(lost.into()),
        // Not given up: what was sent may still arrive, and the next one waits until the lease expires.
        () = overdue => {
            tracing::warn!("what is under way takes too long, and is left to the next one");
            return Ok(());
        }
        () = controller => if !stop.is_cancelled() {
            return Err(Error::Ended("the controller"));
        },
        ended = outcome("a watch", following) => return ended.and(Err(Error::Ended("a watch"))),
        () = told => {}
    }
    if let Some(candidate) = &candidate {
        candidate.release().await;
    }
    Ok(())
}

/// Waits until this process can lead, then until it may.
async fn stand(
    candidate: Option<&Candidate>,
    client: &Client,
    scope: &Scope,
    health: &Health,
) -> Option<Held> {
    // Whoever could not list what there is would only keep others, an older version perhaps, from it.
    loop {
        let why = store::cannot_list(client, &scope.namespaces).await.join("; ");
        if why.is_empty() {
            break;
        }
        tracing::warn!(why, "this process could not lead, and it is tried again");
        let what = format!(
            "kinds to be listed: {why}; are the definition in crds/ and the role in manifests/role of this version?"
        );
        health.set(Stage::WaitingFor(what));
        sleep(AGAIN).await;
    }
    let told = |waiting| {
        health.set(match waiting {
            Waiting::Holder(leader) => Stage::StandingBy { leader },
            Waiting::Trouble(what) => Stage::WaitingFor(what),
        });
    };
    match candidate {
        Some(candidate) => Some(candidate.acquire(told).await),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_that_names_the_task_and_holds_the_message() {
        let panics = tokio::spawn(async { assert_eq!(1, 2, "a claim without a name") });
        let error = outcome("the controller", panics).await.unwrap_err().to_string();
        assert!(
            error.starts_with("the controller panicked: ") && error.contains("a claim without a name"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_task_that_was_cut_off_is_an_error_as_well() {
        let never = tokio::spawn(std::future::pending::<()>());
        never.abort();
        let error = outcome("the health server", never).await.unwrap_err();
        assert_eq!(error.to_string(), "the health server ended unasked");
    }
}
