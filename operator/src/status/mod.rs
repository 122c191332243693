//! What the environment's status is to say, from what was read and what was applied.

mod availability;
mod conditions;
mod database;
mod expiring;
mod exposed;
mod monitored;
mod problem;
mod progress;
mod queued;
mod rollout;
mod sleeping;
mod summary;
mod suspension;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::apply::Applied;
use crate::crd::{Phase, RatesEnvironment, RatesEnvironmentStatus};
use crate::observed::Observed;
use crate::plan::{Activity, Environment};
use crate::pods::primary;
use crate::previews::QUEUED;
use crate::reason::Reason;

use conditions::{Said, condition, one_line};
pub use problem::Problem;
use progress::Pods;
pub use sleeping::KIND as SLEEPS_WHEN_IDLE;
use summary::Parts;

/// The condition that is there while somebody else writes against the operator.
pub const CONTESTED: &str = "Contested";

/// The status of an environment whose specification cannot work: the rest of it stays as it was.
#[must_use]
pub fn invalid(observed: &Observed, problem: &Problem, now: Timestamp) -> RatesEnvironmentStatus {
    let previous = observed.environment.status.clone().unwrap_or_default();
    let generation = observed.environment.metadata.generation;
    let said = |kind, said| condition(&previous.conditions, kind, said, generation, now);
    let (expires_at, expiring) = expiring::said(&observed.environment, now);
    let wrong = Said::no(problem.reason, problem.message.clone());
    let ready = if still_serves(observed, &previous) {
        let url = previous.url.as_deref().unwrap_or_default();
        Said::yes(Reason::Serving, format!("serving at {url}"))
    } else {
        wrong.clone()
    };
    let mut conditions = vec![
        said("Ready", ready),
        said("Progressing", wrong.clone()),
        said("Reconciled", wrong),
    ];
    conditions.extend(expiring.map(|expiring| said(expiring::KIND, expiring)));
    let told = conditions
        .iter()
        .map(|condition| condition.type_.clone())
        .chain([expiring::KIND.to_owned()])
        .collect::<Vec<_>>();
    let untouched = |kept: &&Condition| !told.contains(&kept.type_);
    conditions.extend(previous.conditions.iter().filter(untouched).cloned());
    conditions.sort_by_key(|condition| order(&condition.type_));
    RatesEnvironmentStatus {
        phase: Some(Phase::Degraded),
        message: Some(one_line(&problem.message)),
        observed_generation: generation,
        expires_at,
        conditions,
        ..previous
    }
}

/// The status of an environment of which something cannot be read: all else that it says is not looked at.
#[must_use]
pub fn unread(environment: &RatesEnvironment, problem: &Problem, now: Timestamp) -> RatesEnvironmentStatus {
    let previous = environment.status.clone().unwrap_or_default();
    let generation = environment.metadata.generation;
    let wrong = Said::no(problem.reason, problem.message.clone());
    let reconciled = condition(&previous.conditions, "Reconciled", wrong, generation, now);
    let mut conditions = previous.conditions.clone();
    conditions.retain(|kept| kept.type_ != reconciled.type_);
    conditions.push(reconciled);
    conditions.sort_by_key(|condition| order(&condition.type_));
    RatesEnvironmentStatus {
        message: Some(one_line(&problem.message)),
        conditions,
        ..previous
    }
}

/// The status of an environment that has no pods and waits until it may run.
#[must_use]
pub fn queued(observed: &Observed, why: &str, now: Timestamp) -> RatesEnvironmentStatus {
    in_order(queued::status(observed, why, now))
}

/// A status, with that the environment waits until it may run.
#[must_use]
pub fn waiting(
    mut status: RatesEnvironmentStatus,
    observed: &Observed,
    why: &str,
    now: Timestamp,
) -> RatesEnvironmentStatus {
    queued::wait_for_turn(&mut status, observed, why, now);
    in_order(status)
}

fn in_order(mut status: RatesEnvironmentStatus) -> RatesEnvironmentStatus {
    status.conditions.sort_by_key(|condition| order(&condition.type_));
    status
}

/// Whether what was made before serves requests.
fn still_serves(observed: &Observed, previous: &RatesEnvironmentStatus) -> bool {
    let holds = |kind: &str| {
        let mut conditions = previous.conditions.iter();
        conditions.any(|condition| condition.type_ == kind && condition.status == "True")
    };
    let is_exposed = holds("Exposed") || observed.environment.spec.expose.is_none();
    let migrated = previous
        .database
        .as_ref()
        .is_some_and(|database| database.schema.is_some());
    let serves = primary(observed).is_some() && Pods::of(observed.deployment()).available > 0;
    serves && migrated && holds("Seeded") && is_exposed
}

/// The status of an environment that is being deleted.
#[must_use]
pub fn terminating(observed: &Observed, now: Timestamp) -> RatesEnvironmentStatus {
    let previous = observed.environment.status.clone().unwrap_or_default();
    let generation = observed.environment.metadata.generation;
    let mut conditions = previous.conditions.clone();
    for kept in &mut conditions {
        if matches!(kept.type_.as_str(), "Ready" | "Progressing") {
            let said = Said::no(Reason::Terminating, "being deleted");
            *kept = condition(&previous.conditions, &kept.type_, said, generation, now);
        }
    }
    RatesEnvironmentStatus {
        phase: Some(Phase::Terminating),
        message: Some("being deleted".to_owned()),
        conditions,
        ..previous
    }
}

/// The status after applying.
#[must_use]
pub fn status(
    environment: &Environment,
    observed: &Observed,
    applied: &Applied,
    problem: Option<Problem>,
    now: Timestamp,
) -> RatesEnvironmentStatus {
    let previous = observed.environment.status.clone().unwrap_or_default();
    let generation = observed.environment.metadata.generation;
    let deployment = applied.deployment(&environment.identity.api());
    let counts = Pods::of(deployment);
    let database = database::said(environment, observed, applied, now);
    let seeded = progress::seeded(environment, observed, now);
    let migrated = progress::migrated(environment, observed, now);
    let api_failure = progress::api_failure(environment, observed, deployment, counts, now);
    let of_api = api_failure.clone().map(Said::from);
    let failure = [("database", &database), ("seed", &seeded), ("migrate", &migrated)]
        .into_iter()
        .chain(of_api.iter().map(|said| ("api", said)))
        .find(|(_, said)| said.is_pod_failure())
        .map(|(part, said)| Said::no(said.reason, format!("{part}: {}", said.message)))
        .or_else(|| database::stuck(environment));
    let waits_for_node = progress::waits_for_node(observed);
    let sleeps = sleeping::said(environment, observed);
    let suspension = suspension::said(environment, observed)
        // A pod that keeps it from waking is told as of any other environment.
        .filter(|_| environment.activity != Activity::Waking || failure.is_none());
    let parts = Parts {
        failure,
        database,
        seeded,
        migrated,
        exposed: exposed::said(environment, applied),
        monitored: monitored::said(environment, applied),
        api: suspension::api(environment, observed).unwrap_or_else(|| {
            progress::api_available(
                environment,
                deployment,
                counts,
                api_failure.as_ref(),
                waits_for_node.as_ref(),
            )
        }),
        waits_for_node,
        available: availability::said(environment, observed, applied, &previous.conditions, now),
        lacks_instance: availability::lacks_instance(environment, observed),
        suspension,
        restarting: database::restarting(observed),
        replicating: database::replicating(environment),
        rotating: database::rotating(environment),
        taken_back: rollout::taken_back(environment),
        waits: applied.waits.clone(),
        counts,
        was_migrated: previous
            .database
            .as_ref()
            .is_some_and(|database| database.schema.is_some()),
        problem,
    };
    let ready = parts.ready(environment);
    let progressing = parts.progressing(environment);
    let reconciled = match &parts.problem {
        Some(problem) => Said::no(problem.reason, problem.message.clone()),
        None => Said::yes(Reason::Applied, "every object is as specified"),
    };
    let phase = parts.phase(environment, ready.holds, progressing.holds);
    let message = parts.message(environment, applied);
    let said = |kind, said| condition(&previous.conditions, kind, said, generation, now);
    let mut conditions = vec![
        said("Ready", ready),
        said("DatabaseReady", parts.database),
        said("Seeded", parts.seeded),
        said("Migrated", parts.migrated),
        said("ApiAvailable", parts.api),
        said(availability::KIND, parts.available),
        said("Progressing", progressing),
        said("Reconciled", reconciled),
    ];
    conditions.extend(parts.exposed.map(|exposed| said("Exposed", exposed)));
    conditions.extend(parts.monitored.map(|monitored| said("Monitored", monitored)));
    let (expires_at, expiring) = expiring::said(&observed.environment, now);
    conditions.extend(expiring.map(|expiring| said(expiring::KIND, expiring)));
    conditions.extend(sleeps.map(|sleeps| said(sleeping::KIND, sleeps)));
    conditions.extend(summary::contested(applied).map(|contested| said(CONTESTED, contested)));
    RatesEnvironmentStatus {
        phase: Some(phase),
        message: Some(one_line(&message)),
        url: Some(environment.exposure.url(&environment.identity)),
        profile: Some(observed.environment.spec.profile),
        observed_generation: generation,
        database: Some(database::status(
            environment,
            observed,
            applied,
            previous.database,
            now,
        )),
        api: Some(rollout::api(
            environment,
            deployment,
            counts,
            previous.api.as_ref(),
        )),
        expires_at,
        sleep: environment.sleep.record.clone(),
        wake_request: None,
        conditions,
    }
}

/// After which time the status is to be looked at again, although nothing changes.
#[must_use]
pub fn reconsidered_after(status: &RatesEnvironmentStatus, now: Timestamp) -> Option<Duration> {
    let at = availability::reconsidered_at(&status.conditions)?;
    Duration::try_from(at.duration_since(now)).ok()
}

fn order(kind: &str) -> usize {
    [
        "Ready",
        "DatabaseReady",
        "Seeded",
        "Migrated",
        "ApiAvailable",
        availability::KIND,
        "Progressing",
        "Reconciled",
        "Exposed",
        "Monitored",
        expiring::KIND,
        QUEUED,
        sleeping::KIND,
        CONTESTED,
    ]
    .iter()
    .position(|known| *known == kind)
    .unwrap_or(usize::MAX)
}
