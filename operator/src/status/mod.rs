//! What the environment's status is to say, from what was read and what was applied.

mod conditions;
mod database;
mod exposed;
mod progress;
mod rollout;
mod suspension;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use crate::apply::{self, Applied};
use crate::crd::{Phase, RatesEnvironmentStatus};
use crate::error_chain::chain;
use crate::observed::Observed;
use crate::pods::primary;
use crate::validate::{Environment, Invalid, Migration, Seeding};

pub use crate::pods::trouble::REASONS as TROUBLES;
use conditions::{Said, condition, one_line};
use progress::{MIGRATION_FAILED, Pods};

/// The condition that is there while somebody else writes against the operator.
pub const CONTESTED: &str = "Contested";

/// What stopped a reconcile, or a part of it, and is for a person to know.
#[derive(Clone, Debug)]
pub struct Problem {
    pub reason: &'static str,
    pub message: String,
}

impl From<&Invalid> for Problem {
    fn from(invalid: &Invalid) -> Self {
        Self {
            reason: invalid.reason(),
            message: invalid.to_string(),
        }
    }
}

impl From<&apply::Error> for Problem {
    fn from(error: &apply::Error) -> Self {
        Self {
            reason: error.reason().unwrap_or("ApplyFailed"),
            message: chain(error),
        }
    }
}

impl Problem {
    /// All that is wrong, under the reason of the first.
    #[must_use]
    pub fn of(environment: &Environment, failed: &[apply::Error]) -> Option<Self> {
        let specified = environment
            .invalid
            .iter()
            .chain(environment.ingest_tokens.as_ref().err());
        let told = specified.map(Self::from).chain(failed.iter().map(Self::from));
        told.reduce(|first, other| Self {
            reason: first.reason,
            message: format!("{}; {}", first.message, other.message),
        })
    }
}

/// The status of an environment whose specification cannot work: the rest of it stays as it was.
#[must_use]
pub fn invalid(observed: &Observed, problem: &Problem, now: Timestamp) -> RatesEnvironmentStatus {
    let previous = observed.environment.status.clone().unwrap_or_default();
    let generation = observed.environment.metadata.generation;
    let said = |kind, said| condition(&previous.conditions, kind, said, generation, now);
    let wrong = Said::no(problem.reason, problem.message.clone());
    let ready = if still_serves(observed, &previous) {
        let url = previous.url.as_deref().unwrap_or_default();
        Said::yes("Serving", format!("serving at {url}"))
    } else {
        wrong.clone()
    };
    let mut conditions = vec![
        said("Ready", ready),
        said("Progressing", wrong.clone()),
        said("Reconciled", wrong),
    ];
    let told = conditions
        .iter()
        .map(|condition| condition.type_.clone())
        .collect::<Vec<_>>();
    let untouched = |kept: &&Condition| !told.contains(&kept.type_);
    conditions.extend(previous.conditions.iter().filter(untouched).cloned());
    conditions.sort_by_key(|condition| order(&condition.type_));
    RatesEnvironmentStatus {
        phase: Some(Phase::Degraded),
        message: Some(one_line(&problem.message)),
        observed_generation: generation,
        conditions,
        ..previous
    }
}

/// Whether what was made before serves requests.
fn still_serves(observed: &Observed, previous: &RatesEnvironmentStatus) -> bool {
    let holds = |kind: &str| {
        let mut conditions = previous.conditions.iter();
        conditions.any(|condition| condition.type_ == kind && condition.status == "True")
    };
    let is_exposed = holds("Exposed") || observed.environment.spec.expose.is_none();
    let name = observed.identity.api();
    let deployment = observed.deployments.iter().find(|found| found.name_any() == name);
    let migrated = previous
        .database
        .as_ref()
        .is_some_and(|database| database.schema.is_some());
    let serves = primary(observed).is_some() && Pods::of(deployment).available > 0;
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
            let said = Said::no("Terminating", "being deleted");
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
    let counts = Pods::of(applied.deployment.as_ref());
    let database = database::said(environment, observed, applied, now);
    let seeded = progress::seeded(environment, observed, now);
    let migrated = progress::migrated(environment, observed, now);
    let api_trouble = progress::api_trouble(environment, observed, applied.deployment.as_ref(), counts, now);
    let of_api = api_trouble.clone().map(Said::from);
    let trouble = [("database", &database), ("seed", &seeded), ("migrate", &migrated)]
        .into_iter()
        .chain(of_api.iter().map(|said| ("api", said)))
        .find(|(_, said)| said.is_trouble())
        .map(|(part, said)| Said::no(said.reason, format!("{part}: {}", said.message)));
    let waits_for_node = progress::waits_for_node(observed);
    let parts = Parts {
        trouble,
        database,
        seeded,
        migrated,
        exposed: exposed::said(environment, applied),
        api: suspension::api(environment, observed).unwrap_or_else(|| {
            progress::api_available(
                environment,
                applied.deployment.as_ref(),
                counts,
                api_trouble.as_ref(),
                waits_for_node.as_ref(),
            )
        }),
        waits_for_node,
        suspension: suspension::said(environment, observed),
        restarting: database::restarting(observed),
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
        None => Said::yes("Applied", "every object is as specified"),
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
        said("Progressing", progressing),
        said("Reconciled", reconciled),
    ];
    conditions.extend(parts.exposed.map(|exposed| said("Exposed", exposed)));
    conditions.extend(contested(applied).map(|contested| said(CONTESTED, contested)));
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
            applied.deployment.as_ref(),
            counts,
            previous.api.as_ref(),
        )),
        conditions,
    }
}

/// What somebody else changes again and again.
fn contested(applied: &Applied) -> Option<Said> {
    let contests: Vec<String> = applied.contests.iter().map(ToString::to_string).collect();
    (!contests.is_empty()).then(|| Said::yes("AnotherWriter", contests.join("; ")))
}

fn order(kind: &str) -> usize {
    [
        "Ready",
        "DatabaseReady",
        "Seeded",
        "Migrated",
        "ApiAvailable",
        "Progressing",
        "Reconciled",
        "Exposed",
        CONTESTED,
    ]
    .iter()
    .position(|known| *known == kind)
    .unwrap_or(usize::MAX)
}

/// The parts of an environment, each in its own words.
struct Parts {
    database: Said,
    seeded: Said,
    migrated: Said,
    api: Said,
    /// The first pod that will hardly run by itself.
    trouble: Option<Said>,
    exposed: Option<Said>,
    /// While the environment does not run.
    suspension: Option<Said>,
    /// That a pod waits for a node.
    waits_for_node: Option<String>,
    /// What the database is about to be restarted for.
    restarting: Option<String>,
    /// How far a rotation of the password is.
    rotating: Option<String>,
    /// That a rollout failed and was taken back.
    taken_back: Option<Said>,
    /// That pods of another release of the operator wait to be replaced.
    waits: Option<String>,
    counts: Pods,
    /// By some image, before.
    was_migrated: bool,
    problem: Option<Problem>,
}

impl Parts {
    /// Serves, whatever is being changed meanwhile.
    fn ready(&self, environment: &Environment) -> Said {
        if let Some(suspension) = &self.suspension {
            return Said::no(suspension.reason, suspension.message.clone());
        }
        // Once it was migrated it serves, whatever another image's migrations do.
        let migrated = (!self.was_migrated).then_some(("migrate", &self.migrated));
        let exposed = self.exposed.iter().map(|said| ("expose", said));
        let mut parts = [("database", &self.database), ("seed", &self.seeded)]
            .into_iter()
            .chain(migrated)
            .chain([("api", &self.api)])
            .chain(exposed);
        match (parts.find(|(_, said)| !said.holds), &self.problem) {
            (Some(_), Some(problem)) => Said::no(problem.reason, problem.message.clone()),
            (Some((part, said)), None) => Said::no(said.reason, format!("{part}: {}", said.message)),
            (None, _) => Said::yes(
                "Serving",
                format!("serving at {}", environment.exposure.url(&environment.identity)),
            ),
        }
    }

    /// A change is on its way.
    fn progressing(&self, environment: &Environment) -> Said {
        if let Some(problem) = &self.problem {
            return Said::no(problem.reason, problem.message.clone());
        }
        if let Some(suspension) = &self.suspension {
            return suspension.clone();
        }
        if let Some(what) = self.taken_back.as_ref().or(self.trouble.as_ref()) {
            return what.clone();
        }
        match (&environment.seeding, &environment.migration) {
            (Seeding::Failed { message, .. } | Seeding::Blocked(message), _) => {
                Said::no("SeedFailed", message.clone())
            }
            (Seeding::Run { .. } | Seeding::Waiting(_), _) => {
                Said::yes("Seeding", self.seeded.message.clone())
            }
            (Seeding::Done(_), Migration::Run(_)) if self.migrated.reason == MIGRATION_FAILED => {
                Said::no(MIGRATION_FAILED, self.migrated.message.clone())
            }
            (Seeding::Done(_), Migration::Run(_) | Migration::Waiting) => {
                Said::yes("Migrating", self.migrated.message.clone())
            }
            (Seeding::Done(_), Migration::Done(_)) if self.counts.stuck => {
                Said::no("RolloutStuck", self.api.message.clone())
            }
            (Seeding::Done(_), Migration::Done(_)) if self.waits_for_node.is_some() => {
                Said::yes("WaitingForNode", self.waits_for_node.clone().unwrap_or_default())
            }
            (Seeding::Done(_), Migration::Done(_)) if !self.counts.rolled_out => {
                Said::yes("RollingOut", self.rollout())
            }
            (Seeding::Done(_), Migration::Done(_)) if self.restarting.is_some() => {
                Said::yes("Restarting", self.restarting.clone().unwrap_or_default())
            }
            (Seeding::Done(_), Migration::Done(_)) if self.rotating.is_some() => {
                Said::yes("RotatingPassword", self.rotating.clone().unwrap_or_default())
            }
            (Seeding::Done(_), Migration::Done(_)) if self.waits.is_some() => {
                Said::yes("WaitingForTurn", self.waits.clone().unwrap_or_default())
            }
            (Seeding::Done(_), Migration::Done(_)) => Said::no("Complete", "everything is as specified"),
        }
    }

    fn rollout(&self) -> String {
        let Pods {
            wanted,
            updated,
            available,
            total,
            ..
        } = self.counts;
        format!("{updated} of {wanted} pods are current, {available} of {total} available")
    }

    fn phase(&self, environment: &Environment, ready: bool, progressing: bool) -> Phase {
        let waits = |problem: &Problem| problem.reason == "WaitingForDeletion";
        if !ready && self.problem.as_ref().is_some_and(waits) {
            return Phase::Pending;
        }
        if let Some(suspension) = self.suspension.as_ref().filter(|_| self.problem.is_none()) {
            return if suspension.holds {
                Phase::Progressing
            } else {
                Phase::Suspended
            };
        }
        let all_pods = self.counts.available >= self.counts.wanted;
        match &environment.seeding {
            _ if self.problem.is_some() || self.trouble.is_some() || self.taken_back.is_some() => {
                Phase::Degraded
            }
            Seeding::Run { .. } | Seeding::Waiting(_) if !self.database.holds => Phase::Pending,
            Seeding::Run { .. } | Seeding::Waiting(_) => Phase::Seeding,
            Seeding::Done(_) if self.migrated.reason == MIGRATION_FAILED => Phase::Degraded,
            Seeding::Done(_) if progressing => Phase::Progressing,
            Seeding::Done(_) if ready && all_pods && !self.counts.stuck => Phase::Ready,
            Seeding::Done(_) | Seeding::Failed { .. } | Seeding::Blocked(_) => Phase::Degraded,
        }
    }

    /// What is going on: first what only a person can change, then what is waited for, in order.
    fn message(&self, environment: &Environment, applied: &Applied) -> String {
        if let Some(problem) = &self.problem {
            return problem.message.clone();
        }
        if let Some(suspension) = &self.suspension {
            return suspension.message.clone();
        }
        if let Some(what) = self.taken_back.as_ref().or(self.trouble.as_ref()) {
            return what.message.clone();
        }
        let stopped = matches!(environment.seeding, Seeding::Failed { .. } | Seeding::Blocked(_));
        if stopped {
            format!("seed: {}", self.seeded.message)
        } else if !self.database.holds {
            format!("database: {}", self.database.message)
        } else if !self.seeded.holds {
            format!("seed: {}", self.seeded.message)
        } else if !self.migrated.holds {
            format!("migrate: {}", self.migrated.message)
        } else if !self.api.holds || self.counts.stuck || self.counts.available < self.counts.wanted {
            format!("api: {}", self.api.message)
        } else if !self.counts.rolled_out {
            format!("api: {}", self.rollout())
        } else if let Some(exposed) = self.exposed.as_ref().filter(|exposed| !exposed.holds) {
            format!("expose: {}", exposed.message)
        } else if let Some(restarting) = &self.restarting {
            format!("database: {restarting}")
        } else if let Some(rotating) = &self.rotating {
            format!("rotating the password: {rotating}")
        } else if let Some(notice) = &applied.notice {
            format!("database: {notice}")
        } else if let Some(waits) = &self.waits {
            waits.clone()
        } else if let Some(contested) = contested(applied) {
            contested.message
        } else {
            "everything is as specified".to_owned()
        }
    }
}
