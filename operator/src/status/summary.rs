//! The parts of an environment summed up: `Ready`, `Progressing`, the phase and the message.

use super::conditions::Said;
use super::problem::Problem;
use super::progress::Pods;
use crate::apply::Applied;
use crate::crd::Phase;
use crate::plan::{Environment, Migration, Seeding};
use crate::reason::Reason;

/// The parts of an environment, each in its own words.
pub struct Parts {
    pub database: Said,
    pub seeded: Said,
    pub migrated: Said,
    pub api: Said,
    /// Whether another instance of the database can take over.
    pub available: Said,
    /// Whether one of its instances is missing all the same.
    pub lacks_instance: bool,
    /// The first pod that will hardly run by itself.
    pub failure: Option<Said>,
    pub exposed: Option<Said>,
    /// Whether it is monitored as asked for; it serves all the same.
    pub monitored: Option<Said>,
    /// While the environment does not run.
    pub suspension: Option<Said>,
    /// That a pod waits for a node.
    pub waits_for_node: Option<String>,
    /// What the database is about to be restarted for.
    pub restarting: Option<String>,
    /// What is done about the instances of the database: how far a roll is, or how the primary moves.
    pub replicating: Option<String>,
    /// How far a rotation of the password is.
    pub rotating: Option<String>,
    /// That a rollout failed and was taken back.
    pub taken_back: Option<Said>,
    /// That pods of another release of the operator wait to be replaced.
    pub waits: Option<String>,
    pub counts: Pods,
    /// By some image, before.
    pub was_migrated: bool,
    pub problem: Option<Problem>,
}

impl Parts {
    /// Serves, whatever is being changed meanwhile.
    pub fn ready(&self, environment: &Environment) -> Said {
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
                Reason::Serving,
                format!("serving at {}", environment.exposure.url(&environment.identity)),
            ),
        }
    }

    /// A change is on its way.
    pub fn progressing(&self, environment: &Environment) -> Said {
        if let Some(problem) = &self.problem {
            return Said::no(problem.reason, problem.message.clone());
        }
        if let Some(suspension) = &self.suspension {
            return suspension.clone();
        }
        if let Some(what) = self.taken_back.as_ref().or(self.failure.as_ref()) {
            return what.clone();
        }
        if environment.seeding.is_stopped() {
            return Said::no(Reason::SeedFailed, self.seeded.message.clone());
        }
        match (&environment.seeding, &environment.migration) {
            (Seeding::Run { .. } | Seeding::Waiting(_) | Seeding::Failed { .. } | Seeding::Blocked(_), _) => {
                Said::yes(Reason::Seeding, self.seeded.message.clone())
            }
            (Seeding::Done(_), Migration::Run(_)) if self.migrated.reason == Reason::MigrationFailed => {
                Said::no(Reason::MigrationFailed, self.migrated.message.clone())
            }
            (Seeding::Done(_), Migration::Run(_) | Migration::Waiting) => {
                Said::yes(Reason::Migrating, self.migrated.message.clone())
            }
            (Seeding::Done(_), Migration::Done(_)) if self.counts.stuck => {
                Said::no(Reason::RolloutStuck, self.api.message.clone())
            }
            (Seeding::Done(_), Migration::Done(_)) if self.waits_for_node.is_some() => Said::yes(
                Reason::WaitingForNode,
                self.waits_for_node.clone().unwrap_or_default(),
            ),
            (Seeding::Done(_), Migration::Done(_)) if !self.counts.rolled_out => {
                Said::yes(Reason::RollingOut, self.rollout())
            }
            (Seeding::Done(_), Migration::Done(_)) if self.replicating.is_some() => Said::yes(
                Reason::ReplacingInstances,
                self.replicating.clone().unwrap_or_default(),
            ),
            (Seeding::Done(_), Migration::Done(_)) if self.restarting.is_some() => {
                Said::yes(Reason::Restarting, self.restarting.clone().unwrap_or_default())
            }
            (Seeding::Done(_), Migration::Done(_)) if self.rotating.is_some() => Said::yes(
                Reason::RotatingPassword,
                self.rotating.clone().unwrap_or_default(),
            ),
            (Seeding::Done(_), Migration::Done(_)) if self.waits.is_some() => {
                Said::yes(Reason::WaitingForTurn, self.waits.clone().unwrap_or_default())
            }
            (Seeding::Done(_), Migration::Done(_)) => {
                Said::no(Reason::Complete, "everything is as specified")
            }
        }
    }

    /// Whether the database was highly available and is not any more.
    fn standby_is_missing(&self) -> bool {
        !self.available.holds && self.available.reason.is_failure()
    }

    fn waits_for_standby(&self) -> bool {
        let waits = matches!(
            self.available.reason,
            Reason::WaitingForStandby | Reason::Reconnecting
        );
        self.standby_is_missing() || waits
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

    pub fn phase(&self, environment: &Environment, ready: bool, progressing: bool) -> Phase {
        let waits = |problem: &Problem| problem.reason == Reason::WaitingForDeletion;
        if !ready && self.problem.as_ref().is_some_and(waits) {
            return Phase::Pending;
        }
        if let Some(suspension) = self.suspension.as_ref().filter(|_| self.problem.is_none()) {
            return if suspension.holds {
                Phase::Progressing
            } else if suspension.reason == Reason::Asleep {
                Phase::Asleep
            } else {
                Phase::Suspended
            };
        }
        let all_pods = self.counts.available >= self.counts.wanted;
        match &environment.seeding {
            _ if self.problem.is_some() || self.failure.is_some() || self.taken_back.is_some() => {
                Phase::Degraded
            }
            Seeding::Done(_) if ready && !progressing && self.standby_is_missing() => Phase::Degraded,
            seeding if seeding.is_stopped() => Phase::Degraded,
            Seeding::Run { .. } | Seeding::Waiting(_) | Seeding::Blocked(_) if !self.database.holds => {
                Phase::Pending
            }
            Seeding::Run { .. } | Seeding::Waiting(_) | Seeding::Blocked(_) => Phase::Seeding,
            Seeding::Done(_) if self.migrated.reason == Reason::MigrationFailed => Phase::Degraded,
            Seeding::Done(_) if progressing => Phase::Progressing,
            Seeding::Done(_) if ready && all_pods && !self.counts.stuck => Phase::Ready,
            Seeding::Done(_) | Seeding::Failed { .. } => Phase::Degraded,
        }
    }

    /// What is going on: first what only a person can change, then what is waited for, in order.
    pub fn message(&self, environment: &Environment, applied: &Applied) -> String {
        if let Some(problem) = &self.problem {
            return problem.message.clone();
        }
        if let Some(suspension) = &self.suspension {
            return suspension.message.clone();
        }
        if let Some(what) = self.taken_back.as_ref().or(self.failure.as_ref()) {
            return what.message.clone();
        }
        if environment.seeding.is_stopped() {
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
        } else if let Some(replicating) = self.replicating.as_ref().or(self.restarting.as_ref()) {
            format!("database: {replicating}")
        } else if let Some(rotating) = &self.rotating {
            format!("rotating the password: {rotating}")
        } else if self.waits_for_standby() || self.lacks_instance {
            format!("database: {}", self.available.message)
        } else if let Some(notice) = &applied.notice {
            format!("database: {notice}")
        } else if let Some(monitored) = self.monitored.as_ref().filter(|monitored| !monitored.holds) {
            format!("monitoring: {}", monitored.message)
        } else if let Some(waits) = &self.waits {
            waits.clone()
        } else if let Some(contested) = contested(applied) {
            contested.message
        } else {
            "everything is as specified".to_owned()
        }
    }
}

/// What somebody else changes again and again.
pub fn contested(applied: &Applied) -> Option<Said> {
    let contests: Vec<String> = applied.contests.iter().map(ToString::to_string).collect();
    (!contests.is_empty()).then(|| Said::yes(Reason::AnotherWriter, contests.join("; ")))
}
