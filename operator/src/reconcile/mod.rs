//! One environment, once: read, check, build, apply, report.

mod requeue;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::Recorder;
use kube::{Api, Client, Resource};
use serde_json::json;

use crate::apply::{self, Corrections, Pacing, apply, carry_out, relieve};
use crate::build::build;
use crate::cache::Cache;
use crate::copies::Neighbours;
use crate::crd::{RatesEnvironment, RatesEnvironmentStatus};
use crate::credentials::GeneratedSecrets;
use crate::events::Reporter;
use crate::expire::{Outcome, expire};
use crate::identity::{Identity, MANAGER};
use crate::metrics::Metrics;
use crate::notices;
use crate::observe::{self, observe};
use crate::observed::Observed;
use crate::plan::replication::{Notice, PrimaryHistory, Step, View};
use crate::plan::{Activity, Environment, Expiry, plan};
use crate::previews::Previews;
use crate::settings::{Images, Monitoring};
use crate::sleeping::Sleeping;
use crate::starts::Starts;
use crate::status::{self, Problem};

use requeue::{BLOCKED, CHANGED, SAFETY_NET};
pub use requeue::{Next, requeue_after};

/// After so many failures in a row, some seven seconds, a failure counts as lasting.
pub const LASTING: u32 = 4;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Observe(#[from] observe::Error),
    #[error("cannot make a password")]
    Random(#[from] getrandom::Error),
    #[error(transparent)]
    Apply(#[from] apply::Error),
    #[error("cannot delete the environment at the end of its lifetime.ttl")]
    Expire(#[source] kube::Error),
    #[error("cannot write the status")]
    Status(#[source] kube::Error),
    #[error("not done within {} s", .0.as_secs())]
    Slow(Duration),
}

/// What a reconcile needs.
pub struct Context {
    pub previews: Previews,
    pub client: Client,
    pub cache: Arc<Cache>,
    pub metrics: Arc<Metrics>,
    pub images: Images,
    pub monitoring: Monitoring,
    pub recorder: Recorder,
    pub corrections: Corrections,
    pub pacing: Pacing,
    pub starts: Starts,
    pub primaries: PrimaryHistory,
    pub neighbours: Neighbours,
    pub sleeping: Sleeping,
}

/// Brings one environment, `NAMESPACE/NAME`, a step further.
///
/// `failures` says how often in a row it failed before: what the API server did not take for long is told in the status.
pub async fn reconcile(key: &str, failures: u32, context: &Context) -> Result<Next, Error> {
    let outcome = Box::pin(reconcile_alone(key, failures, context)).await;
    // What was written may concern those that copy this one, and the one that it copies.
    if let Err(error) = context.neighbours.tell(key, &context.cache) {
        tracing::error!(%error, "the environments that copy this one, or that it copies, are not told");
    }
    outcome
}

async fn reconcile_alone(key: &str, failures: u32, context: &Context) -> Result<Next, Error> {
    let mut observed = match Box::pin(observe(&context.client, &context.cache, key)).await {
        Ok(Some(observed)) => observed,
        Ok(None) => {
            context.primaries.forget(key);
            if let Some((namespace, name)) = key.split_once('/') {
                context.cache.tell(context.previews.gone(namespace, name));
            }
            context.cache.tell(context.starts.gone(key));
            context.sleeping.forget(key);
            return Ok(Next::Gone);
        }
        Err(error) => {
            if failures >= LASTING {
                Box::pin(report_unread(key, &error, context)).await?;
            }
            return Err(error.into());
        }
    };
    if observed.environment.metadata.deletion_timestamp.is_some() {
        let now = Timestamp::now();
        report(context, &observed, status::terminating(&observed, now)).await?;
        return Ok(Next::Gone);
    }
    observed.surroundings = context.sleeping.look(key, &observed).await;
    let now = Timestamp::now();
    let Some(expiry) = Expiry::of(&observed.environment) else {
        return Box::pin(advance(key, failures, context, observed, now)).await;
    };
    let is_over = expiry.at <= now;
    if is_over && let Some(next) = end(context, &observed, expiry).await? {
        return Ok(next);
    }
    let next = Box::pin(advance(key, failures, context, observed, now)).await?;
    Ok(next.before(expiry, now))
}

/// Plans, builds and applies what an environment is to be, and writes its status.
async fn advance(
    key: &str,
    failures: u32,
    context: &Context,
    mut observed: Observed,
    now: Timestamp,
) -> Result<Next, Error> {
    let queued = context.previews.place(&observed, &context.cache, now);
    let queued = queued.map(|place| place.to_string());
    observed.waits_for_turn = queued.is_some();
    if let Some((why, again)) = waits_to_start(key, context, &observed, queued.as_deref()) {
        report(context, &observed, status::queued(&observed, &why, now)).await?;
        return Ok(Next::Settled(again));
    }
    let pace = (&context.corrections, &context.pacing);
    // Before anything else: writes wait for it.
    let (relieved, unrelieved) = Box::pin(relieve(&context.client, &context.cache, pace, &observed)).await;
    let database = observed
        .environment
        .status
        .as_ref()
        .and_then(|status| status.database.as_ref());
    let recorded = database.and_then(|database| database.primary.as_deref());
    let change = context.primaries.look(key, recorded, &View::of(&observed), now);
    let fresh = GeneratedSecrets::generate()?;
    let environment = match plan(&observed, &context.images, &context.monitoring, fresh, now) {
        Ok(environment) => environment,
        Err(invalid) => {
            let problem = Problem::from(&invalid);
            report(context, &observed, status::invalid(&observed, &problem, now)).await?;
            if let Some(error) = unrelieved {
                return Err(error.into());
            }
            return Ok(Next::Settled(BLOCKED));
        }
    };
    if environment.activity == Activity::Stopped {
        // Whoever is the primary after this took over from nobody.
        context.primaries.forget(key);
    }
    let children = build(&environment);
    let (mut applied, mut failed) = Box::pin(apply(
        &context.client,
        &context.cache,
        pace,
        &environment,
        &observed,
        children,
    ))
    .await;
    if failed
        .iter()
        .any(|error| matches!(error, apply::Error::NamespaceEnding | apply::Error::Gone))
    {
        return Ok(Next::Gone);
    }
    applied.writes += relieved;
    failed.extend(unrelieved);
    if applied.writes == 0 {
        let (writes, error) = Box::pin(step(context, &environment, &observed)).await;
        applied.writes += writes;
        failed.extend(error);
    }
    if failed.is_empty() {
        for notice in notices::written(&environment, &observed, &applied) {
            reporter(context, &observed).notice(&notice).await;
        }
    }
    let problem = Problem::of(&environment, &failed);
    // What is for a person to know is told at once, what may pass by itself when it lasts.
    let passing = failed.into_iter().find(|error| error.reason().is_none());
    if let Some(error) = passing {
        if failures >= LASTING {
            let mut status = status::status(&environment, &observed, &applied, problem, now);
            record_sleep(key, context, &observed, &mut status);
            report(context, &observed, status).await?;
        }
        return Err(error.into());
    }
    let reason = problem.as_ref().map(|problem| problem.reason);
    applied.primary_change.clone_from(&change);
    let mut status = status::status(&environment, &observed, &applied, problem, now);
    if let Some(why) = queued {
        status = status::waiting(status, &observed, &why, now);
    }
    let goes_on = record_sleep(key, context, &observed, &mut status);
    let again = if applied.writes > 0 || goes_on {
        Next::Wrote
    } else {
        let wait = requeue_after(&environment, &observed, &applied, reason, now);
        let reconsidered = status::reconsidered_after(&status, now).into_iter();
        let sooner = reconsidered.chain(context.sleeping.asks_after(key, &observed));
        Next::Settled(sooner.fold(wait, Duration::min))
    };
    report(context, &observed, status).await?;
    if let Some(change) = change {
        reporter(context, &observed).notice(&change.notice()).await;
        context.primaries.told(key, &change.to);
    }
    Ok(again)
}

/// Why an environment of which nothing runs is to wait, and when to look at it again.
fn waits_to_start(
    key: &str,
    context: &Context,
    observed: &Observed,
    queued: Option<&str>,
) -> Option<(String, Duration)> {
    match queued {
        // It goes on sleeping, which is work.
        Some(_) if sleeps(observed) => None,
        Some(why) => Some((why.to_owned(), SAFETY_NET)),
        None => context.starts.wait(key, observed),
    }
}

fn sleeps(observed: &Observed) -> bool {
    let status = observed.environment.status.as_ref();
    status.is_some_and(|status| status.sleep.is_some())
}

/// Deletes an environment whose time is over; gives nothing where it goes on.
async fn end(context: &Context, observed: &Observed, expiry: Expiry) -> Result<Option<Next>, Error> {
    let at = expiry.at;
    let (identity, environment) = (&observed.identity, &observed.environment);
    match expire(&context.client, identity, environment, at).await {
        Ok(Outcome::NotYet) => Ok(None),
        Ok(Outcome::Changed) => Ok(Some(Next::Settled(CHANGED))),
        Ok(Outcome::Deleted) => {
            tracing::info!(%at, "deleted: its lifetime.ttl is over");
            let note = format!("deleted: its spec.lifetime.ttl was over at {at}");
            let notice = Notice::normal("Expired", note);
            reporter(context, observed).notice(&notice).await;
            Ok(Some(Next::Gone))
        }
        Err(error) => Err(Error::Expire(error)),
    }
}

/// Gives an environment that sleeps its port. Whether the record of its sleep is another one than before, so that the next
/// step can follow.
fn record_sleep(
    key: &str,
    context: &Context,
    observed: &Observed,
    status: &mut RatesEnvironmentStatus,
) -> bool {
    match &mut status.sleep {
        Some(sleep) => sleep.port = context.sleeping.port(key, sleep.port, &context.cache),
        None => context.sleeping.woke(key),
    }
    let before = observed.environment.status.as_ref();
    before.and_then(|before| before.sleep.as_ref()) != status.sleep.as_ref()
}

/// The next step about the instances; or else the annotations go that asked for what is done.
async fn step(
    context: &Context,
    environment: &Environment,
    observed: &Observed,
) -> (u32, Option<apply::Error>) {
    if let Some(step) = &environment.replication.step {
        return carry_out_and_tell(context, observed, step).await;
    }
    let pace = (&context.corrections, &context.pacing);
    let done = &environment.sleep.done;
    apply::remove_annotations(&context.client, &context.cache, pace, observed, done).await
}

/// Carries out a step. What begins is told before, and what ended too: an Event that is missing would be worse than one
/// that comes twice.
async fn carry_out_and_tell(
    context: &Context,
    observed: &Observed,
    step: &Step,
) -> (u32, Option<apply::Error>) {
    if let Step::Begin { tells, .. } | Step::End { tells, .. } = step
        && let Some(notice) = tells
    {
        reporter(context, observed).notice(notice).await;
    }
    let pace = (&context.corrections, &context.pacing);
    Box::pin(carry_out(&context.client, &context.cache, pace, observed, step)).await
}

async fn report_unread(key: &str, error: &observe::Error, context: &Context) -> Result<(), Error> {
    let environment = context
        .cache
        .of::<RatesEnvironment>(key)
        .ok()
        .and_then(|mut found| found.pop());
    let Some(environment) = environment else {
        return Ok(());
    };
    let Some(identity) = Identity::of(&environment) else {
        return Ok(());
    };
    let status = status::unread(&environment, &Problem::from(error), Timestamp::now());
    report(context, &Observed::alone(identity, environment), status).await
}

/// Writes the status if it differs, and tells of every condition that moved.
async fn report(
    context: &Context,
    observed: &Observed,
    mut status: RatesEnvironmentStatus,
) -> Result<(), Error> {
    let mut released = context.previews.record(observed, &status, Timestamp::now());
    let identity = &observed.identity;
    let key = format!("{}/{}", identity.namespace, identity.name);
    released.extend(context.starts.record(&key, status.phase));
    if !released.is_empty() {
        context.cache.tell(released);
    }
    let mut previous = observed.environment.status.clone().unwrap_or_default();
    // The activator's: it is not compared, and not written.
    previous.wake_request = None;
    status.wake_request = None;
    if previous == status {
        return Ok(());
    }
    let api: Api<RatesEnvironment> = Api::namespaced(context.client.clone(), &identity.namespace);
    let patch = json!({
        "apiVersion": RatesEnvironment::api_version(&()),
        "kind": RatesEnvironment::kind(&()),
        // The uid, so that an environment created under the name meanwhile is not meant.
        "metadata": {"name": identity.name, "uid": identity.uid},
        "status": status,
    });
    let parameters = PatchParams::apply(MANAGER).force();
    match api
        .patch_status(&identity.name, &parameters, &Patch::Apply(patch))
        .await
    {
        Ok(written) => context.cache.put(&written),
        // Deleted, or deleted and created anew.
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => return Ok(()),
        Err(source) => return Err(Error::Status(source)),
    }
    let phase = status.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
    tracing::info!(
        phase,
        what = status.message.as_deref().unwrap_or_default(),
        "status"
    );
    reporter(context, observed).tell(&previous, &status).await;
    Ok(())
}

fn reporter<'a>(context: &'a Context, observed: &'a Observed) -> Reporter<'a> {
    Reporter {
        recorder: &context.recorder,
        environment: &observed.environment,
    }
}
