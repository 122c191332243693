//! Whether an environment runs, and in which order it stops and starts: the API goes before the
//! database it uses, and comes after it, or beside it where somebody waits.

use k8s_openapi::api::core::v1::Pod;

use super::sleep::{Sleep, SleepState};
use crate::identity::Component;
use crate::observed::Observed;
use crate::pods::job_outcome::has_ended;
use crate::pods::primary;

/// Whether an environment runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Activity {
    Running,
    /// It is suspended or falls asleep: pods that use the database are ending.
    Stopping,
    /// Nobody uses the database any more.
    Stopped,
    /// It was suspended: the database starts; the API waits for it.
    Resuming,
    /// It slept: the database and the API start at once.
    Waking,
}

impl Activity {
    /// Read from what is there, so that it is the same after a restart of the operator.
    pub(super) fn of(observed: &Observed, sleep: &Sleep) -> Self {
        let stops = observed.environment.spec.suspend || sleep.stops();
        if stops && observed.pods.iter().any(uses_the_database) {
            Self::Stopping
        } else if stops {
            Self::Stopped
        } else if sleep.state == SleepState::Waking {
            Self::Waking
        } else if api_is_at_zero(observed) && primary(observed).is_none() {
            Self::Resuming
        } else {
            Self::Running
        }
    }

    /// Whether Jobs may run.
    #[must_use]
    pub const fn allows_jobs(self) -> bool {
        matches!(self, Self::Running | Self::Resuming | Self::Waking)
    }
}

fn uses_the_database(pod: &Pod) -> bool {
    Component::of(pod).is_some_and(Component::uses_the_database) && !has_ended(pod)
}

fn api_is_at_zero(observed: &Observed) -> bool {
    let deployment = observed.deployment();
    deployment.and_then(|deployment| deployment.spec.as_ref()?.replicas) == Some(0)
}
