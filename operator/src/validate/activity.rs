//! Whether an environment runs, and in which order it stops and starts: the API goes before the
//! database it uses, and comes after it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::judging::has_ended;
use crate::dereference::Observed;
use crate::identity::{COMPONENT_LABEL, Component, ROLE_LABEL};

/// Whether an environment runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Activity {
    Running,
    /// Pods that use the database are ending.
    Suspending,
    /// Nobody uses the database any more.
    Suspended,
    /// The database starts; the API waits for it.
    Resuming,
}

impl Activity {
    /// Read from what is there, so that it is the same after a restart of the operator.
    pub(super) fn of(observed: &Observed) -> Self {
        let suspend = observed.environment.spec.suspend;
        if suspend && observed.pods.iter().any(uses_the_database) {
            Self::Suspending
        } else if suspend {
            Self::Suspended
        } else if api_is_at_zero(observed) && primary(observed).is_none() {
            Self::Resuming
        } else {
            Self::Running
        }
    }

    /// Whether Jobs may run.
    #[must_use]
    pub const fn allows_jobs(self) -> bool {
        matches!(self, Self::Running | Self::Resuming)
    }
}

/// The database pod that takes writes, if it is ready.
#[must_use]
pub fn primary(observed: &Observed) -> Option<&Pod> {
    observed.pods.iter().find(|pod| {
        is_of(Component::Postgres, pod)
            && is_ready(pod)
            && pod.labels().get(ROLE_LABEL).is_some_and(|role| role == "primary")
    })
}

/// Whether a pod is ready and stays.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod.status.as_ref().is_some_and(|status| {
            status
                .conditions
                .iter()
                .flatten()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        })
}

fn uses_the_database(pod: &Pod) -> bool {
    let users = [Component::Api, Component::Seed, Component::Migrate];
    users.into_iter().any(|component| is_of(component, pod)) && !has_ended(pod)
}

pub(super) fn is_of(component: Component, pod: &Pod) -> bool {
    pod.labels()
        .get(COMPONENT_LABEL)
        .is_some_and(|label| label == component.as_str())
}

fn api_is_at_zero(observed: &Observed) -> bool {
    let named = |deployment: &&Deployment| deployment.name_any() == observed.identity.api();
    let deployment = observed.deployments.iter().find(named);
    deployment.and_then(|deployment| deployment.spec.as_ref()?.replicas) == Some(0)
}
