//! Who an environment is: the names, labels and owners of everything that is made for it.
//!
//! The only place that puts a name together. Selectors use name, instance and component alone,
//! never a version, as they cannot be changed later.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use crate::crd::RatesEnvironment;

/// The name under which this operator signs: its label, and its field manager.
pub const MANAGER: &str = "rates-operator";
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Of an `EndpointSlice`: who writes it.
pub const SLICE_MANAGER_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
/// Patroni's scope: which database cluster a pod or `ConfigMap` belongs to.
pub const CLUSTER_LABEL: &str = "rates.internal/cluster";
/// Patroni's role of a pod: `primary` or `replica`.
pub const ROLE_LABEL: &str = "rates.internal/role";
const NAME: &str = "rates";

/// The parts of an environment, as the component label tells them apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Component {
    Postgres,
    Seed,
    Migrate,
    Api,
}

impl Component {
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Api, Self::Seed, Self::Migrate];

    /// Whether its pods connect to the database: its `NetworkPolicy` lets them in, and it stops after they have ended.
    #[must_use]
    pub const fn uses_the_database(self) -> bool {
        match self {
            Self::Postgres => false,
            Self::Seed | Self::Migrate | Self::Api => true,
        }
    }

    /// Whether its pods are those of a Job.
    #[must_use]
    pub const fn is_a_job(self) -> bool {
        match self {
            Self::Seed | Self::Migrate => true,
            Self::Postgres | Self::Api => false,
        }
    }

    /// The part that an object is of, by its label.
    #[must_use]
    pub fn of<K: Resource>(object: &K) -> Option<Self> {
        Self::ALL.into_iter().find(|component| component.is_of(object))
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Seed => "seed",
            Self::Migrate => "migrate",
            Self::Api => "api",
        }
    }

    /// Whether an object is of this part, by its label.
    #[must_use]
    pub fn is_of<K: Resource>(self, object: &K) -> bool {
        let labels = object.meta().labels.as_ref();
        labels
            .and_then(|labels| labels.get(COMPONENT_LABEL))
            .is_some_and(|label| label == self.as_str())
    }
}

/// Whether a child goes when its environment goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lifetime {
    WithEnvironment,
    Retained,
}

/// An environment's name, namespace and uid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    pub name: String,
    pub namespace: String,
    pub uid: String,
}

impl Identity {
    /// `None` for an object that no API server has taken yet.
    #[must_use]
    pub fn of(environment: &RatesEnvironment) -> Option<Self> {
        let metadata = &environment.metadata;
        Some(Self {
            name: metadata.name.clone()?,
            namespace: metadata.namespace.clone()?,
            uid: metadata.uid.clone()?,
        })
    }

    /// The primary's Service, the `StatefulSet`, the application's Secret, the pods' account.
    #[must_use]
    pub fn postgres(&self) -> String {
        format!("{}-postgres", self.name)
    }

    #[must_use]
    pub fn postgres_admin(&self) -> String {
        format!("{}-postgres-admin", self.name)
    }

    /// The Secret of the Jobs' login.
    #[must_use]
    pub fn postgres_migrator(&self) -> String {
        format!("{}-postgres-migrator", self.name)
    }

    /// The Secret of the login with which the environment copies another one's data.
    #[must_use]
    pub fn copy(&self) -> String {
        format!("{}-copy", self.name)
    }

    #[must_use]
    pub fn postgres_ro(&self) -> String {
        format!("{}-postgres-ro", self.name)
    }

    #[must_use]
    pub fn postgres_headless(&self) -> String {
        format!("{}-postgres-headless", self.name)
    }

    /// The `ConfigMaps` in which Patroni keeps its state.
    #[must_use]
    pub fn patroni_state(&self) -> [String; 4] {
        ["config", "leader", "failover", "sync"].map(|part| format!("{}-{part}", self.postgres()))
    }

    #[must_use]
    pub fn postgres_pod(&self, ordinal: u8) -> String {
        format!("{}-{ordinal}", self.postgres())
    }

    /// The claim that the `StatefulSet` expects for an instance.
    #[must_use]
    pub fn claim(&self, ordinal: u8) -> String {
        format!("data-{}", self.postgres_pod(ordinal))
    }

    /// The API's Deployment, Service, autoscaler, disruption budget, Secret, account, network
    /// policy, and way in from outside.
    #[must_use]
    pub fn api(&self) -> String {
        format!("{}-api", self.name)
    }

    /// The `EndpointSlice` that leads to the activator's IPv4 addresses while the environment sleeps.
    #[must_use]
    pub fn activator_slice(&self) -> String {
        format!("{}-activator", self.api())
    }

    /// The same for its IPv6 addresses.
    #[must_use]
    pub fn activator_slice_ipv6(&self) -> String {
        format!("{}-ipv6", self.activator_slice())
    }

    /// The Jobs' account and network policy.
    #[must_use]
    pub fn jobs(&self) -> String {
        format!("{}-jobs", self.name)
    }

    #[must_use]
    pub fn seed_job(&self, hash: &str) -> String {
        format!("{}-seed-{hash}", self.name)
    }

    #[must_use]
    pub fn migrate_job(&self, hash: &str) -> String {
        format!("{}-migrate-{hash}", self.name)
    }

    /// The host under which pods of any namespace reach the database's primary.
    #[must_use]
    pub fn postgres_host(&self) -> String {
        format!("{}.{}.svc", self.postgres(), self.namespace)
    }

    /// The host under which they reach what may be read from: the standbys, or the only instance.
    #[must_use]
    pub fn postgres_ro_host(&self) -> String {
        format!("{}.{}.svc", self.postgres_ro(), self.namespace)
    }

    /// Where the API answers inside the cluster.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}.{}.svc", self.api(), self.namespace)
    }

    /// The labels that select a component's pods.
    #[must_use]
    pub fn selector(&self, component: Component) -> BTreeMap<String, String> {
        [
            (NAME_LABEL, NAME),
            (INSTANCE_LABEL, self.name.as_str()),
            (COMPONENT_LABEL, component.as_str()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
    }

    /// The labels of a component's objects: its selector and who manages them.
    #[must_use]
    pub fn labels(&self, component: Component) -> BTreeMap<String, String> {
        let mut labels = self.selector(component);
        labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned());
        if component == Component::Postgres {
            labels.insert(CLUSTER_LABEL.to_owned(), self.postgres());
        }
        labels
    }

    /// The label selector, as text, of everything made for this environment.
    #[must_use]
    pub fn everything(&self) -> String {
        format!(
            "{MANAGED_BY_LABEL}={MANAGER},{NAME_LABEL}={NAME},{INSTANCE_LABEL}={}",
            self.name
        )
    }

    /// A component's selector as text.
    #[must_use]
    pub fn selector_text(&self, component: Component) -> String {
        let pairs: Vec<String> = self
            .selector(component)
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.join(",")
    }

    /// The metadata of a child that goes with its environment.
    #[must_use]
    pub fn metadata(&self, name: String, component: Component) -> ObjectMeta {
        self.metadata_living(name, component, Lifetime::WithEnvironment)
    }

    /// The metadata of a child, which decides whether deleting the environment deletes it.
    #[must_use]
    pub fn metadata_living(&self, name: String, component: Component, lifetime: Lifetime) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels(component)),
            owner_references: (lifetime == Lifetime::WithEnvironment).then(|| vec![self.owner()]),
            annotations: (lifetime == Lifetime::Retained).then(kept),
            ..ObjectMeta::default()
        }
    }

    fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: RatesEnvironment::api_version(&()).into_owned(),
            kind: RatesEnvironment::kind(&()).into_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }

    /// How an existing object under a child's name stands to this environment.
    #[must_use]
    pub fn ownership(&self, existing: &ObjectMeta) -> Ownership {
        let owners = existing.owner_references.as_deref().unwrap_or_default();
        let labelled = existing.labels.as_ref().is_some_and(|labels| {
            labels
                .get(MANAGED_BY_LABEL)
                .is_some_and(|manager| manager == MANAGER)
                && labels
                    .get(INSTANCE_LABEL)
                    .is_some_and(|instance| *instance == self.name)
        });
        if owners.iter().any(|owner| owner.uid == self.uid) {
            if existing.deletion_timestamp.is_some() {
                Ownership::Leaving
            } else {
                Ownership::Ours
            }
        } else if owners
            .iter()
            .any(|owner| owner.kind == RatesEnvironment::kind(&()) && owner.name == self.name && labelled)
        {
            Ownership::Leaving
        } else if labelled && owners.iter().all(|owner| owner.controller != Some(true)) {
            if existing.deletion_timestamp.is_some() {
                Ownership::Leaving
            } else {
                Ownership::Retained
            }
        } else {
            Ownership::Foreign
        }
    }
}

/// Says to Argo CD that an object is kept although no manifest names it, and is no difference.
/// `kubectl apply --prune` removes only what it has applied itself.
fn kept() -> BTreeMap<String, String> {
    [
        ("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
        ("argocd.argoproj.io/compare-options", "IgnoreExtraneous"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// How an existing object under a child's name stands to an environment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ownership {
    /// Made for this environment.
    Ours,
    /// Kept from an environment of this name: to be taken up again.
    Retained,
    /// On its way out, of this environment or of an earlier one of this name: to be waited for.
    Leaving,
    /// Somebody else's: never touched.
    Foreign,
}
