//! `Seeded`, `Migrated` and `ApiAvailable`.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use super::conditions::Said;
use super::database;
use crate::identity::Component;
use crate::observed::Observed;
use crate::plan::{Environment, JobRun, Migration, SeedSource, Seeding};
use crate::pods::failure::{self, PodFailure};
use crate::pods::job_outcome::PUBLISH;
use crate::pods::{self, deadline_exceeded, is_ready, primary, progress_reason};
use crate::reason::Reason;

pub fn seeded(environment: &Environment, observed: &Observed, now: Timestamp) -> Said {
    match &environment.seeding {
        Seeding::Done(seed) => {
            let reason = if seed.source == "none" {
                Reason::Empty
            } else {
                Reason::Loaded
            };
            let status = observed.environment.status.as_ref();
            let storage = status.and_then(|status| status.database.as_ref()?.storage.as_ref());
            Said::yes(reason, database::loaded(seed, storage))
        }
        Seeding::Waiting(what) => Said::no(Reason::Waiting, format!("waiting for {what}")),
        Seeding::Blocked(blocked) => Said::no(blocked.reason, blocked.message.clone()),
        Seeding::Failed { message, .. } => Said::no(Reason::SeedFailed, message.clone()),
        // The same words for each attempt: nothing is written while nothing changes.
        Seeding::Run { run, .. } if run.refused => {
            let job = environment.identity.seed_job(&run.hash);
            let failure = run.failure.as_deref().unwrap_or_default();
            let message = format!(
                "{failure}; once that is corrected the copy goes on within 5 minutes, and at once if Job {job} is deleted"
            );
            Said::no(Reason::SeedFailed, message)
        }
        Seeding::Run { source, run } => match retrying(run) {
            Some(message) => Said::no(Reason::Retrying, message),
            None => loading(source, run, environment, observed, now),
        },
    }
}

fn loading(
    source: &SeedSource,
    run: &JobRun,
    environment: &Environment,
    observed: &Observed,
    now: Timestamp,
) -> Said {
    let what = match source {
        SeedSource::Environment { source, .. } => format!("copying environment {source}"),
        SeedSource::Nothing => "making an empty database".to_owned(),
        SeedSource::Kept => "looking for data in the volume, which was there before".to_owned(),
        SeedSource::Bundled
        | SeedSource::ConfigMap { .. }
        | SeedSource::Url { .. }
        | SeedSource::Claim { .. } => format!("loading {}", source.describe()),
    };
    let job = environment.identity.seed_job(&run.hash);
    let pod = pods::of_job(observed, &job);
    if let Some(failure) = job_failure(observed, &job, now) {
        return failure.into();
    }
    if let Some(waits) = pod.and_then(failure::waits_for_node) {
        return Said::no(Reason::Loading, format!("{what}: {waits}"));
    }
    let message = match pod.and_then(pods::current) {
        None if pod.is_some_and(pods::has_begun) => format!("{what}: between two steps"),
        None => format!("{what}: starting"),
        Some(_) if primary(observed).is_none() => format!("{what}: waiting for the database"),
        Some(PUBLISH) if *source != SeedSource::Kept => format!("{what}: publishing"),
        Some(_) => what,
    };
    Said::no(Reason::Loading, message)
}

/// What is wrong with a Job's pod, or why there is none.
fn job_failure(observed: &Observed, job: &str, now: Timestamp) -> Option<PodFailure> {
    let of_its_pod = pods::of_job(observed, job).and_then(|pod| failure::of(pod, now));
    of_its_pod.or_else(|| {
        let object = observed.jobs.iter().find(|object| object.name_any() == job)?;
        let why = observed.refusals.get(&object.metadata)?;
        Some(failure::refused("Job", job, why))
    })
}

fn retrying(run: &JobRun) -> Option<String> {
    let failure = run.failure.as_deref();
    match (run.not_before, failure) {
        (Some(due), Some(failure)) => Some(format!("attempt {} at {due:.0}, after: {failure}", run.attempt)),
        (Some(due), None) => Some(format!(
            "attempt {} at {due:.0}, as the last one was lost",
            run.attempt
        )),
        (None, Some(failure)) => Some(format!("attempt {} now, after: {failure}", run.attempt)),
        (None, None) => None,
    }
}

pub fn migrated(environment: &Environment, observed: &Observed, now: Timestamp) -> Said {
    match &environment.migration {
        Migration::Done(schema) => {
            let version = schema.version.map(|version| format!("version {version}, "));
            Said::yes(
                Reason::Migrated,
                format!("{}by {}", version.unwrap_or_default(), schema.image),
            )
        }
        Migration::Waiting => Said::no(Reason::Waiting, "waiting for the data"),
        Migration::Run(run) => {
            if let Some(message) = retrying(run) {
                let reason = if run.failure.is_some() {
                    Reason::MigrationFailed
                } else {
                    Reason::Retrying
                };
                return Said::no(reason, message);
            }
            let job = environment.identity.migrate_job(&run.hash);
            let pod = pods::of_job(observed, &job);
            if let Some(failure) = job_failure(observed, &job, now) {
                return failure.into();
            }
            let what = format!("migrating the tables for {}", environment.api.image);
            match pod.and_then(failure::waits_for_node) {
                Some(waits) => Said::no(Reason::Migrating, format!("{what}: {waits}")),
                None => Said::no(Reason::Migrating, what),
            }
        }
    }
}

/// How far the API's pods are, as the Deployment counts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pods {
    pub wanted: i32,
    pub total: i32,
    pub ready: i32,
    /// Ready for long enough that every proxy knows them.
    pub available: i32,
    pub updated: i32,
    /// Whether all of them run what was applied.
    pub rolled_out: bool,
    /// The Deployment gave up waiting.
    pub stuck: bool,
}

impl Pods {
    pub fn of(deployment: Option<&Deployment>) -> Self {
        let Some(deployment) = deployment else {
            return Self::default();
        };
        let status = deployment.status.clone().unwrap_or_default();
        let wanted = deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(1);
        let total = status.replicas.unwrap_or(0);
        let updated = status.updated_replicas.unwrap_or(0);
        let seen = status.observed_generation == deployment.metadata.generation;
        Self {
            wanted,
            total,
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            updated,
            rolled_out: seen
                && updated == wanted
                && total == wanted
                && progress_reason(deployment) == Some("NewReplicaSetAvailable"),
            stuck: deadline_exceeded(deployment),
        }
    }
}

pub fn api_available(
    environment: &Environment,
    deployment: Option<&Deployment>,
    counts: Pods,
    failure: Option<&PodFailure>,
    waits_for_node: Option<&String>,
) -> Said {
    // The first pods start beside the load, and wait.
    let loaded = matches!(environment.seeding, Seeding::Done(_));
    if deployment.is_none() || (counts.available == 0 && !loaded) {
        return Said::no(Reason::Waiting, "waiting for the tables");
    }
    let Pods {
        wanted, available, ..
    } = counts;
    let message = format!("{available} of {wanted} pods are available");
    let starting = failure.is_none() && !counts.rolled_out && !counts.stuck;
    let message = match failure.map(|failure| &failure.message).or(waits_for_node) {
        Some(why) => format!("{message}; {why}"),
        None => message,
    };
    if available > 0 {
        Said::yes(Reason::Available, message)
    } else if starting || (failure.is_none() && waits_for_node.is_some()) {
        Said::no(Reason::Starting, message)
    } else {
        Said::no(
            failure.map_or(Reason::ApiUnavailable, |failure| failure.reason),
            message,
        )
    }
}

/// That a pod of the database or of a Deployment waits for a node, which may be added for it. A standby that finds none
/// keeps nothing back: `HighlyAvailable` tells of it.
pub fn waits_for_node(observed: &Observed) -> Option<String> {
    let has_primary = primary(observed).is_some();
    Component::ALL
        .into_iter()
        .filter(|component| !component.is_a_job())
        .filter(|component| !has_primary || *component != Component::Postgres)
        .flat_map(|component| pods::of(observed, component))
        .find_map(failure::waits_for_node)
}

/// What is wrong with a pod of the API, whether others serve or not.
pub fn api_failure(
    environment: &Environment,
    observed: &Observed,
    deployment: Option<&Deployment>,
    counts: Pods,
    now: Timestamp,
) -> Option<PodFailure> {
    let refused = || {
        let deployment = deployment?;
        let why = pods::replica_failure(deployment)?;
        Some(failure::refused("Deployment", &deployment.name_any(), why))
    };
    let unready = || pods::of(observed, Component::Api).filter(|pod| !is_ready(pod));
    // The first pods wait for their tables, and all of them for the database.
    let tables = matches!(environment.migration, Migration::Done(_)) && primary(observed).is_some();
    let others_serve = tables && counts.available > 0 && !counts.rolled_out;
    unready()
        .find_map(|pod| failure::of(pod, now))
        .or_else(refused)
        .or_else(|| unready().find_map(|pod| failure::not_ready(pod, others_serve, now)))
}
