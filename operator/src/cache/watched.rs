//! What is kept of each kind, and what of it is a reason to look at its environment again.
//!
//! Patroni writes to its `ConfigMaps` and its pods every few seconds, and controllers write status.

use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::annotations::{
    APPLIED, PARAMETERS, PATRONI_CONFIG, PATRONI_INITIALIZE, PATRONI_LEADER, PATRONI_MEMBER, PATRONI_OPTIME,
    PATRONI_QUORUM, PATRONI_RENEWED, PATRONI_STANDBYS, REPLICATION_ACT, SETTINGS,
};
use crate::crd::{Phase, RatesEnvironment};
use crate::http_route::HTTPRoute;
use crate::identity::{INSTANCE_LABEL, MANAGER, SLICE_MANAGER_LABEL};
use crate::managed_fields::only_what_we_apply;
use crate::patroni;
use crate::pod_monitor::PodMonitor;

/// A kind of which objects are held.
pub trait Watched:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Whether a cluster need not have the kind.
    const OPTIONAL: bool = false;

    /// Whether nothing can be decided without it. Of the others the operator goes without those
    /// that it may not list.
    const ESSENTIAL: bool = true;

    /// A number that changes with whatever is a reason to look again.
    fn digest(&self) -> u64;

    /// Drops what nobody reads.
    fn slim(&mut self) {
        only_what_we_apply(self.meta_mut());
    }

    /// What stays in memory for as long as the process lives, to compress others of the kind by: usually the object.
    #[must_use]
    fn example(&self) -> Self {
        self.clone()
    }

    /// `NAMESPACE/NAME` of the environment that it is of.
    fn environment(&self) -> Option<String> {
        let instance = self.meta().labels.as_ref()?.get(INSTANCE_LABEL)?;
        Some(format!("{}/{instance}", self.meta().namespace.as_ref()?))
    }

    /// The phase of an environment.
    fn phase(&self) -> Option<Phase> {
        None
    }

    /// How many instances of a database there are to be now.
    fn instances(&self) -> Option<u8> {
        None
    }

    /// The activator's port of an environment that sleeps.
    fn port(&self) -> Option<u16> {
        None
    }

    /// What of people's own, or which environment, it names, as `KIND/NAMESPACE/NAME`.
    fn refers_to(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Kinds of which every write counts.
macro_rules! any_write {
    ($($kind:ty),+) => {$(
        impl Watched for $kind {
            fn digest(&self) -> u64 {
                hash(&(&self.metadata.uid, &self.metadata.resource_version))
            }
        }
    )+};
}

any_write!(
    Deployment,
    Job,
    PersistentVolumeClaim,
    Service,
    ServiceAccount,
    Role,
    RoleBinding
);

impl Watched for StatefulSet {
    fn digest(&self) -> u64 {
        hash(&(&self.metadata.uid, &self.metadata.resource_version))
    }

    fn instances(&self) -> Option<u8> {
        u8::try_from(self.spec.as_ref()?.replicas?).ok()
    }
}

impl Watched for NetworkPolicy {
    const ESSENTIAL: bool = false;

    fn digest(&self) -> u64 {
        hash(&(&self.metadata.uid, &self.metadata.resource_version))
    }
}

impl Watched for EndpointSlice {
    const ESSENTIAL: bool = false;

    /// Its generation does not move with its endpoints everywhere.
    fn digest(&self) -> u64 {
        hash(&(&self.metadata.uid, &self.metadata.resource_version))
    }

    /// Those of a Service itself have the Service's labels, and with them ours. They are nothing to the operator.
    fn environment(&self) -> Option<String> {
        let labels = self.metadata.labels.as_ref()?;
        let is_ours = labels.get(SLICE_MANAGER_LABEL)? == MANAGER;
        let instance = labels.get(INSTANCE_LABEL).filter(|_| is_ours)?;
        Some(format!("{}/{instance}", self.metadata.namespace.as_ref()?))
    }

    fn port(&self) -> Option<u16> {
        let port = self.ports.iter().flatten().find_map(|port| port.port)?;
        u16::try_from(port).ok()
    }
}

impl Watched for Secret {
    fn digest(&self) -> u64 {
        hash(&(&self.metadata.uid, &self.metadata.resource_version))
    }

    /// Nothing that it holds; an annotation may hold all of it, as `kubectl apply` writes one.
    fn example(&self) -> Self {
        let metadata = ObjectMeta {
            annotations: None,
            ..self.metadata.clone()
        };
        Self {
            metadata,
            ..Self::default()
        }
    }
}

/// Of the Gateway API; gateways tell in its status whether they take it.
impl Watched for HTTPRoute {
    const OPTIONAL: bool = true;
    const ESSENTIAL: bool = false;

    fn digest(&self) -> u64 {
        hash(&(&self.metadata.uid, &self.metadata.resource_version))
    }
}

/// Of the Prometheus operator, which may write into its status.
impl Watched for PodMonitor {
    const OPTIONAL: bool = true;
    const ESSENTIAL: bool = false;

    fn digest(&self) -> u64 {
        specification(&self.metadata)
    }
}

impl Watched for HorizontalPodAutoscaler {
    const ESSENTIAL: bool = false;

    /// Its generation never moves, whatever is changed in it.
    fn digest(&self) -> u64 {
        let spec = serde_json::to_string(&self.spec).unwrap_or_default();
        hash(&(specification(&self.metadata), spec))
    }
}

impl Watched for PodDisruptionBudget {
    const ESSENTIAL: bool = false;

    fn digest(&self) -> u64 {
        specification(&self.metadata)
    }
}

impl Watched for Ingress {
    const ESSENTIAL: bool = false;

    fn digest(&self) -> u64 {
        specification(&self.metadata)
    }
}

impl Watched for ConfigMap {
    /// All that is kept, but for the renewals of the leader key.
    fn digest(&self) -> u64 {
        let metadata = &self.metadata;
        let annotations = metadata.annotations.iter().flatten();
        let annotations = annotations.filter(|(key, _)| !RENEWALS.contains(&key.as_str()));
        let data = self.data.iter().flatten();
        hash(&(
            ownership(metadata),
            annotations.collect::<Vec<_>>(),
            data.collect::<Vec<_>>(),
        ))
    }

    /// Patroni keeps its state in annotations, some of which are written every few seconds.
    fn slim(&mut self) {
        only_what_we_apply(&mut self.metadata);
        let name = self.name_any();
        let read: &[&str] = if name.ends_with("-postgres-config") {
            &[PATRONI_CONFIG, PARAMETERS, SETTINGS, PATRONI_INITIALIZE]
        } else if name.ends_with("-postgres-leader") {
            &[PATRONI_LEADER, PATRONI_RENEWED, PATRONI_OPTIME]
        } else if name.ends_with("-postgres-failover") {
            &[PATRONI_LEADER, PATRONI_MEMBER, REPLICATION_ACT]
        } else if name.ends_with("-postgres-sync") {
            &[PATRONI_LEADER, PATRONI_STANDBYS, PATRONI_QUORUM]
        } else {
            &[]
        };
        if let Some(annotations) = &mut self.metadata.annotations {
            annotations.retain(|key, _| key == APPLIED || read.contains(&key.as_str()));
        }
    }
}

/// What the leader writes at each look, every few seconds: kept, and no reason to look.
const RENEWALS: [&str; 2] = [PATRONI_RENEWED, PATRONI_OPTIME];

impl Watched for Pod {
    /// How it stands, without what only its owner reads.
    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let metadata = &self.metadata;
        let leaving = metadata.deletion_timestamp.is_some();
        (&metadata.uid, &metadata.labels, leaving).hash(&mut hasher);
        patroni::said(self).hash(&mut hasher);
        let Some(status) = &self.status else {
            return hasher.finish();
        };
        status.phase.hash(&mut hasher);
        for condition in status.conditions.iter().flatten() {
            let what = (&condition.type_, &condition.status);
            (what, &condition.reason, &condition.message).hash(&mut hasher);
        }
        let containers = status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .flatten();
        for container in containers {
            let how = (container.ready, container.started, container.restart_count);
            (&container.name, how).hash(&mut hasher);
            let Some(state) = &container.state else { continue };
            state.running.is_some().hash(&mut hasher);
            let waiting = state.waiting.as_ref();
            waiting.map(|waiting| &waiting.reason).hash(&mut hasher);
            let ended = state.terminated.as_ref();
            ended.map(|end| (end.exit_code, &end.message)).hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Watched for RatesEnvironment {
    /// What people write, and what the activator asks for; the rest of the status is the operator's own.
    fn digest(&self) -> u64 {
        let wake_request = self
            .status
            .as_ref()
            .and_then(|status| status.wake_request.as_ref());
        hash(&(
            specification(&self.metadata),
            &self.metadata.annotations,
            wake_request,
        ))
    }

    fn environment(&self) -> Option<String> {
        let metadata = &self.metadata;
        Some(format!(
            "{}/{}",
            metadata.namespace.as_ref()?,
            metadata.name.as_ref()?
        ))
    }

    fn phase(&self) -> Option<Phase> {
        self.status.as_ref()?.phase
    }

    fn port(&self) -> Option<u16> {
        let sleep = self.status.as_ref()?.sleep.as_ref()?;
        u16::try_from(sleep.port?).ok()
    }

    fn refers_to(&self) -> Vec<String> {
        let seed = self.spec.database.seed.as_ref();
        let config_map = seed.and_then(|seed| seed.config_map.as_ref());
        let claim = seed.and_then(|seed| seed.persistent_volume_claim.as_ref());
        let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
        let environment = seed.and_then(|seed| seed.environment.as_ref());
        let environment = environment.map(|source| {
            let namespace = source.namespace.as_deref().unwrap_or(namespace);
            format!("RatesEnvironment/{namespace}/{}", source.name)
        });
        let config_map = config_map.map(|source| format!("ConfigMap/{namespace}/{}", source.name));
        let claim = claim.map(|source| format!("PersistentVolumeClaim/{namespace}/{}", source.claim_name));
        config_map.into_iter().chain(claim).chain(environment).collect()
    }
}

/// What is specified counts, the status does not.
fn specification(metadata: &ObjectMeta) -> u64 {
    let annotations = metadata.annotations.as_ref();
    let applied = annotations.and_then(|annotations| annotations.get(APPLIED));
    hash(&(ownership(metadata), metadata.generation, applied))
}

/// Whose it is counts, what it holds does not.
fn ownership(metadata: &ObjectMeta) -> u64 {
    let owners: Vec<&String> = metadata
        .owner_references
        .iter()
        .flatten()
        .map(|owner| &owner.uid)
        .collect();
    let leaving = metadata.deletion_timestamp.is_some();
    hash(&(&metadata.uid, &metadata.labels, leaving, owners))
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str, annotations: &[(&str, &str)]) -> u64 {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut config_map = ConfigMap::default();
        config_map.metadata.name = Some(name.to_owned());
        config_map.metadata.annotations = Some(annotations.iter().map(owned).collect());
        config_map.slim();
        config_map.digest()
    }

    #[test]
    fn a_leader_key_is_a_reason_to_look_when_it_changes_hands_and_not_when_it_is_renewed() {
        let held = |by: &str, at: &str| {
            let renewed = [(PATRONI_RENEWED, at), (PATRONI_OPTIME, at), ("slots", at)];
            let all: Vec<_> = [(PATRONI_LEADER, by)].into_iter().chain(renewed).collect();
            digest("pier-postgres-leader", &all)
        };
        assert_eq!(held("pier-postgres-0", "1"), held("pier-postgres-0", "2"));
        assert_ne!(held("pier-postgres-0", "1"), held("pier-postgres-1", "1"));
    }

    #[test]
    fn who_counts_and_who_is_to_lead_are_reasons_to_look() {
        for (name, key) in [
            ("pier-postgres-sync", PATRONI_STANDBYS),
            ("pier-postgres-failover", PATRONI_MEMBER),
            ("pier-postgres-config", PATRONI_INITIALIZE),
        ] {
            assert_ne!(digest(name, &[(key, "a")]), digest(name, &[(key, "b")]), "{name}");
        }
        let failsafe = |value| digest("pier-postgres-leader", &[("failsafe", value)]);
        assert_eq!(failsafe("{}"), failsafe(r#"{"a":"b"}"#));
    }
}
