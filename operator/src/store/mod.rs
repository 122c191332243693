//! What exists of all environments, held in memory: a list and a watch for each kind, by label.
//!
//! A reconcile reads from here, and asks the API server only for what has no label of ours. It sees
//! its own writes, because their answers are put here at once; the watches bring what others do.

mod compact;
mod follow;
mod kind;
mod matters;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::build::HTTPRoute;
use crate::crd::RatesEnvironment;
use crate::metrics::Metrics;
use crate::settings::Namespaces;

pub use compact::Error;
use follow::{Follower, Malformed, OURS, Read};
pub use kind::{Key, Kind, name_of};
pub use matters::Held;

/// How many kinds are listed at once.
const LISTS: usize = 2;

/// One line a kind: what it is called here, and its type. Whoever adds one also says in `matters`
/// what of it is a reason to look again, and grants the operator to watch it.
macro_rules! kinds {
    ($($field:ident: $kind:ty,)+) => {
        /// Everything that is held.
        pub struct Store {
            environments: Kind<RatesEnvironment>,
            $($field: Kind<$kind>,)+
            /// The environments to look at again.
            triggers: mpsc::UnboundedSender<Key>,
            news: watch::Sender<()>,
            lists: Semaphore,
            metrics: Arc<Metrics>,
        }

        $(impl HeldIn for $kind {
            fn held_in(store: &Store) -> &Kind<Self> {
                &store.$field
            }
        })+

        impl Store {
            fn new(metrics: Arc<Metrics>) -> (Self, mpsc::UnboundedReceiver<Key>) {
                let (triggers, triggered) = mpsc::unbounded_channel();
                let store = Self {
                    environments: Kind::default(),
                    $($field: Kind::default(),)+
                    triggers,
                    news: watch::Sender::new(()),
                    lists: Semaphore::new(LISTS),
                    metrics,
                };
                (store, triggered)
            }

            fn followers<'a>(&'a self, client: &Client, namespaces: &Namespaces) -> Vec<Following<'a>> {
                vec![
                    self.follower::<RatesEnvironment, DeserializeGuard<RatesEnvironment>>(client, namespaces, None),
                    $(self.follower::<$kind, $kind>(client, namespaces, Some(OURS)),)+
                ]
            }

            /// The kinds that were not listed yet.
            #[must_use]
            pub fn waiting_for(&self) -> Vec<String> {
                let mut kinds = Vec::new();
                if !self.environments.is_listed() {
                    kinds.push(RatesEnvironment::plural(&()).into_owned());
                }
                $(if !self.$field.is_listed() {
                    kinds.push(<$kind>::plural(&()).into_owned());
                })+
                kinds
            }
        }
    };
}

kinds! {
    secrets: Secret,
    config_maps: ConfigMap,
    service_accounts: ServiceAccount,
    roles: Role,
    role_bindings: RoleBinding,
    claims: PersistentVolumeClaim,
    services: Service,
    stateful_sets: StatefulSet,
    jobs: Job,
    deployments: Deployment,
    autoscalers: HorizontalPodAutoscaler,
    disruption_budgets: PodDisruptionBudget,
    network_policies: NetworkPolicy,
    ingresses: Ingress,
    routes: HTTPRoute,
    pods: Pod,
}

type Following<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Where a kind is held.
pub trait HeldIn: Sized {
    fn held_in(store: &Store) -> &Kind<Self>;
}

impl HeldIn for RatesEnvironment {
    fn held_in(store: &Store) -> &Kind<Self> {
        &store.environments
    }
}

impl Read<RatesEnvironment> for DeserializeGuard<RatesEnvironment> {
    fn understood(self) -> Result<RatesEnvironment, Malformed<Self>> {
        self.0.map_err(|invalid| Malformed {
            error: invalid.error.clone(),
            object: Self(Err(invalid)),
        })
    }
}

/// The store, the environments of which something changed, and what keeps it: to be polled for as
/// long as the store is used.
pub fn follow(
    client: &Client,
    namespaces: &Namespaces,
    metrics: Arc<Metrics>,
) -> (
    Arc<Store>,
    mpsc::UnboundedReceiver<Key>,
    impl Future<Output = ()> + Send + use<>,
) {
    let (store, triggered) = Store::new(metrics);
    let store = Arc::new(store);
    let (client, namespaces) = (client.clone(), namespaces.clone());
    let kept = store.clone();
    let keeping = async move {
        join_all(kept.followers(&client, &namespaces)).await;
    };
    (store, triggered, keeping)
}

impl Store {
    fn follower<'a, K, R>(
        &'a self,
        client: &Client,
        namespaces: &Namespaces,
        selector: Option<&'static str>,
    ) -> Following<'a>
    where
        K: Held,
        R: Read<K> + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let api: Api<R> = match namespaces.only() {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        Box::pin(
            Follower {
                api,
                selector,
                fields: namespaces.field_selector(),
                store: self,
            }
            .follow::<K>(),
        )
    }

    /// The objects of an environment, `NAMESPACE/NAME`.
    pub fn of<K: Held>(&self, environment: &str) -> Result<Vec<K>, Error> {
        K::held_in(self).of(environment)
    }

    /// Whether the cluster has the kind at all.
    #[must_use]
    pub fn has<K: Held>(&self) -> bool {
        !K::held_in(self).is_missing()
    }

    /// Takes what the API server answered to a write.
    pub fn put<K: Held>(&self, object: &K) {
        // Whoever wrote it knows; if the environment is to be looked at again, it says so itself.
        K::held_in(self).put(object.clone());
    }

    /// Takes note that an object was deleted by us. `left` is what the API server says is left of it.
    pub fn deleted<K: Held>(&self, object: &K, left: Option<&K>) {
        match left {
            Some(left) if left.meta().deletion_timestamp.is_some() => self.put(left),
            Some(_) | None => {
                let namespace = object.namespace().unwrap_or_default();
                K::held_in(self).deleted(&namespace, &object.name_any(), object.uid());
            }
        }
    }

    /// The environments that name something of people's own, as `KIND/NAMESPACE/NAME`.
    #[must_use]
    pub fn referring_to(&self, what: &str) -> Vec<Key> {
        self.environments.referring_to(what)
    }

    /// How many environments are in each phase.
    #[must_use]
    pub fn phases(&self) -> std::collections::BTreeMap<String, usize> {
        self.environments.phases()
    }

    /// The versions by name of what is held of a kind in a namespace.
    #[must_use]
    pub fn versions<K: Held>(&self, namespace: &str) -> std::collections::BTreeMap<String, u64> {
        K::held_in(self).versions(namespace)
    }

    /// Changes whenever a watch or a list brought something.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Asks for environments to be looked at.
    pub fn tell(&self, environments: Vec<Key>) {
        for environment in environments {
            // Nobody listens where a test reconciles by itself.
            let _ = self.triggers.send(environment);
        }
        self.news.send_replace(());
    }
}
