//! Leading: waits for the lease, reconciles for as long as it holds, and waits for it again.
//!
//! Whoever lost the lease drops all it had and begins anew, as another process would. It does not end: while the API
//! server is away, the kubelet cannot read what a container is started with, and waits up to five minutes after it is back.
//!
//! Leading and reconciling are one task. Were the controller stuck in it, the lease would not be
//! renewed either, another process would take over, and `/livez` would tell the kubelet.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::settings::Settings;
use super::tasks::{Error, outcome};
use crate::apply::{Corrections, Pacing};
use crate::cache;
use crate::controller::{Scope, controller, until_listed};
use crate::copies::Neighbours;
use crate::error_chain::chain;
use crate::fence::Fence;
use crate::health::{Health, Sources, Stage};
use crate::identity::MANAGER;
use crate::leader::{self, Candidate, HeldLease, Timing, Waiting};
use crate::metrics::CountRequests;
use crate::plan::replication::PrimaryHistory;
use crate::previews::Previews;
use crate::reconcile::Context;
use crate::sleeping::Sleeping;
use crate::starts::Starts;

/// How long what is under way may take once the process was told to end: less than the pod's grace
/// period, so that the lease is given up in any case.
const FINISH: Duration = Duration::from_secs(20);
/// How soon it is tried again whether everything can be listed.
const AGAIN: Duration = Duration::from_secs(2);

/// How this process came to lead no longer.
enum Ending {
    Told,
    Lost(leader::Error),
}

/// Waits for the lease and reconciles for as long as it holds, again and again until this process is told to stop.
pub async fn lead(
    settings: Settings,
    configuration: Config,
    sources: Sources,
    stop: CancellationToken,
) -> Result<(), Error> {
    let health = sources.health.clone();
    tokio::select! {
        biased;
        never = health.beat() => never,
        ended = lead_again(settings, configuration, sources, stop) => ended,
    }
}

async fn lead_again(
    settings: Settings,
    configuration: Config,
    sources: Sources,
    stop: CancellationToken,
) -> Result<(), Error> {
    loop {
        let led = stand_and_lead(settings.clone(), configuration.clone(), &sources, &stop);
        let Ending::Lost(error) = Box::pin(led).await? else {
            return Ok(());
        };
        let why = chain(&error);
        tracing::error!(why, "this process leads no longer, and waits for the lease again");
        sources.cache.send_replace(None);
        sources.metrics.leads_no_longer();
        sources
            .health
            .set(Stage::WaitingFor(format!("the lease again: {why}")));
        // What was sent may still arrive, and another process would wait for as long.
        if stop
            .run_until_cancelled(sleep(Timing::default().until_expiry()))
            .await
            .is_none()
        {
            return Ok(());
        }
    }
}

async fn stand_and_lead(
    settings: Settings,
    configuration: Config,
    Sources {
        health,
        metrics,
        cache: led,
    }: &Sources,
    stop: &CancellationToken,
) -> Result<Ending, Error> {
    // Of this time alone: a fence that is closed stays closed to whatever was begun before the lease was lost.
    let fence = Fence::default();
    let client = ClientBuilder::try_from(configuration)
        .map_err(Error::Client)?
        .with_layer(&CountRequests(metrics.clone()))
        .with_layer(&fence)
        .build();
    let candidate = settings.lease.as_ref().map(|lease| {
        let identity = settings.identity.clone();
        Candidate::new(
            client.clone(),
            &lease.namespace,
            &lease.name,
            identity,
            Timing::default(),
        )
        .with_fence(fence)
    });
    let held = tokio::select! {
        held = stand(candidate.as_ref(), &client, &settings.scope, health) => held,
        () = stop.cancelled() => return Ok(Ending::Told),
    };
    metrics.leads();
    let reporter = Reporter {
        controller: MANAGER.to_owned(),
        instance: Some(settings.identity.clone()),
    };
    let (cache, triggered, following) = cache::follow(
        &client,
        &settings.scope.namespaces,
        metrics.clone(),
        cache::Timing::default(),
    );
    led.send_replace(Some(cache.clone()));
    let namespace = settings.lease.as_ref().map(|lease| lease.namespace.clone());
    // Any number will do, and another one each time is better.
    let first = getrandom::u64().unwrap_or_default();
    let context = Context {
        client: client.clone(),
        cache: cache.clone(),
        metrics: metrics.clone(),
        images: settings.images,
        monitoring: settings.monitoring,
        recorder: Recorder::new(client, reporter),
        corrections: Corrections::default(),
        pacing: Pacing::new(env!("CARGO_PKG_VERSION"), settings.rollouts_at_once),
        primaries: PrimaryHistory::default(),
        starts: Starts::new(settings.starts_at_once),
        previews: Previews::new(settings.max_running_previews.into()),
        neighbours: Neighbours::default(),
        sleeping: Sleeping::new(namespace, settings.activator_ports, first, Sleeping::ASK_AGAIN),
    };
    let following = AbortOnDropHandle::new(tokio::spawn(following));
    let controller = controller(context, settings.scope, triggered, stop.clone());
    let told = async {
        until_listed(&cache, |missing| {
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
        lost = keeping => return Ok(Ending::Lost(lost)),
        // Not given up: what was sent may still arrive, and the next one waits until the lease expires.
        () = overdue => {
            tracing::warn!("what is under way takes too long, and is left to the next one");
            return Ok(Ending::Told);
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
    Ok(Ending::Told)
}

/// Waits until this process can lead, then until it may.
async fn stand(
    candidate: Option<&Candidate>,
    client: &Client,
    scope: &Scope,
    health: &Health,
) -> Option<HeldLease> {
    // Whoever could not list what there is would only keep others, an older version perhaps, from it.
    loop {
        let why = cache::cannot_list(client, &scope.namespaces).await.join("; ");
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
