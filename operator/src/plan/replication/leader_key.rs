//! What cannot wait: a leader key whose holder has died, and labels that name a primary of the past.
//!
//! A pod's absence proves nothing, as its processes may run on a node that is lost. Then the key expires by itself.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use super::view::{Instance, View};
use crate::identity::ROLE_LABEL;
use crate::observed::Observed;
use crate::pods::failure::last_end;
use crate::pods::is_running;

/// A container's end is told in whole seconds.
const WHOLE_SECOND: SignedDuration = SignedDuration::from_secs(1);

/// The leader key of an instance that has died.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeadLeader {
    pub holder: String,
    /// Of the leader key: whoever renews it meanwhile keeps it.
    pub resource_version: String,
    /// How its container ended.
    pub why: String,
}

/// Whether the holder of the leader key has died, so that Patroni need not wait until the key expires. Only where
/// another instance can take over: without one, its own next start is as good.
#[must_use]
pub fn dead_leader(observed: &Observed) -> Option<DeadLeader> {
    if !is_replicated(observed) {
        return None;
    }
    let view = View::of(observed);
    let leader = view.leader()?;
    let why = died(leader.postgres()?, view.leader_key.renewed)?;
    view.instances
        .iter()
        .find(|other| can_take_over(&view, leader, other))?;
    Some(DeadLeader {
        holder: leader.name.clone(),
        resource_version: view.leader_key.resource_version.clone()?,
        why,
    })
}

/// Whether there are standbys by what runs, whatever is specified.
fn is_replicated(observed: &Observed) -> bool {
    let set = observed.stateful_set().and_then(|set| set.spec.as_ref());
    set.and_then(|spec| spec.replicas)
        .is_some_and(|replicas| replicas > 1)
}

fn can_take_over(view: &View<'_>, leader: &Instance<'_>, other: &Instance<'_>) -> bool {
    let cluster = &view.cluster;
    other.name != leader.name
        && other.runs()
        && cluster.synchronised_with.as_ref() == Some(&leader.name)
        && cluster.standbys.contains(&other.name)
}

/// How a container ended, unless the leader key was renewed after that: by what followed it in its pod. Both are told by
/// the clock of one node. One that runs again needs some seconds until it can be the primary.
fn died(container: &ContainerStatus, renewed: Option<Timestamp>) -> Option<String> {
    let end = last_end(container)?;
    let ended = end.finished_at.as_ref().map(|time| time.0);
    let is_of_the_past = match (ended, renewed) {
        (Some(ended), Some(renewed)) => renewed >= ended + WHOLE_SECOND,
        _ => is_running(container),
    };
    if is_of_the_past {
        return None;
    }
    Some(match end.signal {
        Some(signal) => format!("signal {signal}"),
        None => format!("exit code {}", end.exit_code),
    })
}

/// The pods that are labelled as the primary while another instance holds the leader key.
#[must_use]
pub fn former_primaries(observed: &Observed) -> Vec<&Pod> {
    let view = View::of(observed);
    let Some(holder) = &view.leader_key.holder else {
        return Vec::new();
    };
    let labelled = |pod: &Pod| pod.labels().get(ROLE_LABEL).is_some_and(|role| role == "primary");
    let others = view.instances.iter().filter(|instance| instance.name != *holder);
    others
        .map(|instance| instance.pod)
        .filter(|pod| labelled(pod))
        .collect()
}
