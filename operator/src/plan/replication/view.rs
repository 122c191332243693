//! The instances of a database as they are seen: who is the primary, and which standbys lack nothing.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use crate::identity::Component;
use crate::observed::Observed;
use crate::patroni::{Cluster, Member};
use crate::patroni_keys::{LeaderKey, Order, log_end};
use crate::pods::{self, is_ready};

/// The container of Patroni and PostgreSQL.
pub const POSTGRES: &str = "postgres";
/// So many bytes a standby may be behind by what its pod and the primary last said: they say so at different times.
const BEHIND: u64 = 64 << 20;

/// What is seen of the cluster.
pub struct View<'a> {
    pub cluster: Cluster,
    pub leader_key: LeaderKey,
    pub order: Order,
    pub instances: Vec<Instance<'a>>,
}

/// One instance that has a pod.
pub struct Instance<'a> {
    pub name: String,
    pub ordinal: u8,
    pub pod: &'a Pod,
    pub member: Member,
}

impl Instance<'_> {
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.pod.metadata.deletion_timestamp.is_some()
    }

    #[must_use]
    pub fn postgres(&self) -> Option<&ContainerStatus> {
        pods::containers(self.pod)
            .into_iter()
            .find(|container| container.name == POSTGRES)
    }

    /// Whether its server runs, by its pod and by Patroni's last word.
    #[must_use]
    pub fn runs(&self) -> bool {
        !self.is_leaving() && self.postgres().is_some_and(pods::is_running) && self.member.state == "running"
    }
}

impl<'a> View<'a> {
    #[must_use]
    pub fn of(observed: &'a Observed) -> Self {
        let identity = &observed.identity;
        let mut instances: Vec<Instance<'_>> = pods::of(observed, Component::Postgres)
            .filter_map(|pod| {
                let name = pod.name_any();
                Some(Instance {
                    ordinal: ordinal_of(&identity.postgres(), &name)?,
                    member: Member::of(pod),
                    name,
                    pod,
                })
            })
            .collect();
        instances.sort_by_key(|instance| instance.ordinal);
        Self {
            cluster: Cluster::of(identity, &observed.config_maps),
            leader_key: LeaderKey::of(identity, &observed.config_maps),
            order: Order::of(identity, &observed.config_maps),
            instances,
        }
    }

    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&Instance<'a>> {
        self.instances.iter().find(|instance| instance.name == name)
    }

    /// Whose the leader key is, if it has a pod.
    #[must_use]
    pub fn leader(&self) -> Option<&Instance<'a>> {
        self.instance(self.leader_key.holder.as_deref()?)
    }

    /// The instance that takes writes and stays, as far as can be seen: a lost node keeps its pods for a while.
    #[must_use]
    pub fn primary(&self) -> Option<&Instance<'a>> {
        self.serving().filter(|primary| !primary.is_leaving())
    }

    /// The same, or one that is about to stop: it takes writes until it has handed over.
    #[must_use]
    pub fn serving(&self) -> Option<&Instance<'a>> {
        self.leader().filter(|leader| {
            let member = &leader.member;
            is_answering(leader.pod) && member.state == "running" && member.role == "primary"
        })
    }

    /// What keeps a standby from taking the primary's place without a loss; `None`: nothing.
    #[must_use]
    pub fn lacks(&self, standby: &Instance<'_>, primary: &Instance<'_>) -> Option<String> {
        let (name, leader) = (&standby.name, &primary.name);
        let cluster = &self.cluster;
        let counts = cluster.synchronised_with.as_ref() == Some(leader) && cluster.standbys.contains(name);
        let timelines = standby.member.timeline.zip(primary.member.timeline);
        let end = log_end(primary.pod).max(self.leader_key.log_end);
        let behind = end
            .zip(log_end(standby.pod))
            .map(|(end, has)| end.saturating_sub(has));
        if standby.is_leaving() {
            Some(format!("{name} is stopping"))
        } else if !standby.member.streams() {
            let state = Some(standby.member.state.as_str()).filter(|state| !state.is_empty());
            Some(format!(
                "{name} does not stream from {leader} ({})",
                state.unwrap_or("it did not start yet")
            ))
        } else if let Some((of_standby, of_primary)) =
            timelines.filter(|(standby, primary)| standby != primary)
        {
            Some(format!(
                "{name} is on timeline {of_standby}, and the primary {leader} on {of_primary}"
            ))
        } else if !is_ready(standby.pod) {
            Some(format!("{name} is not ready"))
        } else if !counts {
            Some(format!("no commit waits for {name} yet"))
        } else {
            let behind = behind.filter(|bytes| *bytes > BEHIND);
            behind.map(|bytes| format!("{name} is {} MiB behind {leader}", bytes >> 20))
        }
    }

    /// The standbys that lack nothing.
    pub fn complete<'s>(&'s self, primary: &'s Instance<'a>) -> impl Iterator<Item = &'s Instance<'a>> {
        self.standbys(primary)
            .filter(|standby| self.lacks(standby, primary).is_none())
    }

    /// All but the primary.
    pub fn standbys<'s>(&'s self, primary: &'s Instance<'a>) -> impl Iterator<Item = &'s Instance<'a>> {
        self.instances
            .iter()
            .filter(|instance| instance.name != primary.name)
    }
}

/// Whether a pod's probes succeed, also while it stops.
fn is_answering(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The number at the end of a pod's name.
pub fn ordinal_of(prefix: &str, name: &str) -> Option<u8> {
    name.strip_prefix(prefix)?.strip_prefix('-')?.parse().ok()
}
