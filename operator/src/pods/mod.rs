//! What pods, and the Deployment that counts them, say of themselves.

pub mod failure;
pub mod job_outcome;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodCondition};
use kube::ResourceExt;

use crate::identity::{Component, ROLE_LABEL};
use crate::observed::Observed;
use crate::patroni::Cluster;

/// A component's pods.
pub fn of(observed: &Observed, component: Component) -> impl Iterator<Item = &Pod> {
    observed.pods.iter().filter(move |pod| component.is_of(*pod))
}

/// The database pod that takes writes, if it is ready. Where a lost one still has the label too, it is the one with
/// Patroni's leader key.
#[must_use]
pub fn primary(observed: &Observed) -> Option<&Pod> {
    let mut labelled = observed.pods.iter().filter(|pod| {
        Component::Postgres.is_of(*pod)
            && is_ready(pod)
            && pod.labels().get(ROLE_LABEL).is_some_and(|role| role == "primary")
    });
    let first = labelled.next()?;
    let Some(second) = labelled.next() else {
        return Some(first);
    };
    let leader = Cluster::of(&observed.identity, &observed.config_maps).leader;
    let leads = |pod: &Pod| Some(pod.name_any()) == leader;
    if leads(second) { Some(second) } else { Some(first) }
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

pub fn containers(pod: &Pod) -> Vec<&ContainerStatus> {
    pod.status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten())
        .collect()
}

/// All of them, init containers first.
pub fn all_containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        status
            .init_container_statuses
            .iter()
            .flatten()
            .chain(status.container_statuses.iter().flatten())
    })
}

pub fn is_running(container: &ContainerStatus) -> bool {
    container
        .state
        .as_ref()
        .is_some_and(|state| state.running.is_some())
}

/// The first container that has not ended, init containers first, if it runs. Of others that run beside it, it may be waited
/// for.
pub fn current(pod: &Pod) -> Option<&str> {
    let container = all_containers(pod).find(|container| terminated(container).is_none())?;
    is_running(container).then_some(container.name.as_str())
}

/// Whether a container of the pod ended already.
pub fn has_begun(pod: &Pod) -> bool {
    all_containers(pod).any(|container| terminated(container).is_some())
}

fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref()
}

/// Why the scheduler found no node.
pub fn unscheduled(pod: &Pod) -> Option<&str> {
    unscheduled_condition(pod)?.message.as_deref()
}

/// What the scheduler says of a pod for which it found no node.
pub fn unscheduled_condition(pod: &Pod) -> Option<&PodCondition> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
}

/// The pod of a Job that is not being deleted.
pub fn of_job<'a>(observed: &'a Observed, job: &str) -> Option<&'a Pod> {
    observed.pods.iter().find(|pod| {
        let name = pod.labels().get("batch.kubernetes.io/job-name");
        name.is_some_and(|name| name == job) && pod.metadata.deletion_timestamp.is_none()
    })
}

/// Whether the Deployment gave up waiting for a rollout to go on.
#[must_use]
pub fn deadline_exceeded(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else {
        return false;
    };
    status.observed_generation == deployment.metadata.generation
        && progress_reason(deployment) == Some("ProgressDeadlineExceeded")
}

/// Why the API server takes no pod of a Deployment.
#[must_use]
pub fn replica_failure(deployment: &Deployment) -> Option<&str> {
    let mut conditions = deployment.status.as_ref()?.conditions.iter().flatten();
    let failure = conditions.find(|c| c.type_ == "ReplicaFailure" && c.status == "True")?;
    failure.message.as_deref()
}

/// A Deployment's own word on its rollout, which a pod that fails later does not change.
#[must_use]
pub fn progress_reason(deployment: &Deployment) -> Option<&str> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let rollout = conditions
        .iter()
        .find(|condition| condition.type_ == "Progressing")?;
    rollout.reason.as_deref()
}
