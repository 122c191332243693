//! Everything that is held: one field a kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{Resource, ResourceExt};
use tokio::sync::{Semaphore, mpsc, watch};

use super::compact::Error;
use super::kind::Kind;
use super::objects::Key;
use super::watched::Watched;
use crate::crd::RatesEnvironment;
use crate::http_route::HTTPRoute;
use crate::metrics::Metrics;
use crate::pod_monitor::PodMonitor;
use crate::settings::Namespaces;

/// How many kinds are listed at once.
const LISTS: usize = 2;

/// A kind that the cache has a place for.
pub trait Cached: Watched {
    fn cached_in(cache: &Cache) -> &Kind<Self>;
}

impl Cached for RatesEnvironment {
    fn cached_in(cache: &Cache) -> &Kind<Self> {
        &cache.environments
    }
}

/// Calls something for each kind that is held, with its type.
pub trait EachKind {
    /// `selector` says by which label its objects are found.
    fn kind<K: Cached>(&mut self, selector: Option<&'static str>);
}

/// The label of ours.
const OURS: &str = "app.kubernetes.io/managed-by=rates-operator";

/// One line a kind: what it is called here, and its type. Whoever adds one also says in `watched`
/// what of it is a reason to look again, and grants the operator to watch it.
macro_rules! kinds {
    ($($field:ident: $kind:ty,)+) => {
        /// Everything that is held.
        pub struct Cache {
            environments: Kind<RatesEnvironment>,
            $($field: Kind<$kind>,)+
            /// The environments to look at again.
            triggers: mpsc::UnboundedSender<Key>,
            namespaces: Namespaces,
            news: watch::Sender<()>,
            /// A permit for each kind that is being listed.
            pub(super) lists: Semaphore,
            /// Why which kind is not followed at present.
            failures: Mutex<BTreeMap<String, String>>,
            pub(super) metrics: Arc<Metrics>,
        }

        $(impl Cached for $kind {
            fn cached_in(cache: &Cache) -> &Kind<Self> {
                &cache.$field
            }
        })+

        impl Cache {
            pub(super) fn new(metrics: Arc<Metrics>, namespaces: Namespaces) -> (Self, mpsc::UnboundedReceiver<Key>) {
                let (triggers, triggered) = mpsc::unbounded_channel();
                let cache = Self {
                    environments: Kind::default(),
                    $($field: Kind::default(),)+
                    triggers,
                    namespaces,
                    news: watch::Sender::new(()),
                    lists: Semaphore::new(LISTS),
                    failures: Mutex::default(),
                    metrics,
                };
                (cache, triggered)
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

        pub fn each_kind(each: &mut impl EachKind) {
            each.kind::<RatesEnvironment>(None);
            $(each.kind::<$kind>(Some(OURS));)+
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
    endpoint_slices: EndpointSlice,
    stateful_sets: StatefulSet,
    jobs: Job,
    deployments: Deployment,
    autoscalers: HorizontalPodAutoscaler,
    disruption_budgets: PodDisruptionBudget,
    network_policies: NetworkPolicy,
    ingresses: Ingress,
    routes: HTTPRoute,
    pod_monitors: PodMonitor,
    pods: Pod,
}

impl Cache {
    pub(super) fn follows<K: Cached>(&self) {
        let kind = K::plural(&());
        self.metrics.follows(&kind, true);
        self.failures().remove(&*kind);
    }

    pub(super) fn follows_not<K: Cached>(&self, why: String) {
        let kind = K::plural(&());
        self.metrics.follows(&kind, false);
        self.failures().insert(kind.into_owned(), why);
        self.news.send_replace(());
    }

    /// Which kinds are not followed at present, and why.
    #[must_use]
    pub fn not_followed(&self) -> BTreeMap<String, String> {
        self.failures().clone()
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the operator may not list a kind, and goes on without it.
    #[must_use]
    pub fn is_forbidden<K: Cached>(&self) -> bool {
        K::cached_in(self).is_forbidden()
    }

    /// The objects of an environment, `NAMESPACE/NAME`.
    pub fn of<K: Cached>(&self, environment: &str) -> Result<Vec<K>, Error> {
        K::cached_in(self).of(environment)
    }

    /// Whether the environments of a namespace are in here.
    #[must_use]
    pub fn serves(&self, namespace: &str) -> bool {
        self.namespaces.serves(namespace)
    }

    /// Whether the cluster has the kind at all.
    #[must_use]
    pub fn has<K: Cached>(&self) -> bool {
        !K::cached_in(self).is_missing()
    }

    /// Takes what the API server answered to a write.
    pub fn put<K: Cached>(&self, object: &K) {
        // Whoever wrote it knows; if the environment is to be looked at again, it says so itself.
        K::cached_in(self).put(object.clone());
    }

    /// Takes note that an object was deleted by us. `left` is what the API server says is left of it.
    pub fn deleted<K: Cached>(&self, object: &K, left: Option<&K>) {
        match left {
            Some(left) if left.meta().deletion_timestamp.is_some() => self.put(left),
            Some(_) | None => {
                let namespace = object.namespace().unwrap_or_default();
                K::cached_in(self).deleted(&namespace, &object.name_any(), object.uid());
            }
        }
    }

    /// The environments that name something of people's own or another environment, as `KIND/NAMESPACE/NAME`.
    #[must_use]
    pub fn referring_to(&self, what: &str) -> Vec<Key> {
        self.environments.referring_to(what)
    }

    /// All environments.
    #[must_use]
    pub fn environments(&self) -> Vec<Key> {
        self.environments.environments()
    }

    /// Those that sleep.
    #[must_use]
    pub fn sleeping(&self) -> Vec<Key> {
        self.environments
            .ports()
            .into_iter()
            .map(|(environment, _)| environment)
            .collect()
    }

    /// The activator's ports that other environments than this one have.
    #[must_use]
    pub fn ports_but_of(&self, environment: &str) -> BTreeSet<u16> {
        let ports = [self.environments.ports(), self.endpoint_slices.ports()].concat();
        let others = ports.into_iter().filter(|(of, _)| &**of != environment);
        others.map(|(_, port)| port).collect()
    }

    /// How many environments are in each phase.
    #[must_use]
    pub fn phases(&self) -> BTreeMap<String, usize> {
        self.environments.phases()
    }

    /// How many instances each environment's database is to have now.
    #[must_use]
    pub fn instances(&self) -> Vec<(Key, u8)> {
        StatefulSet::cached_in(self).instances()
    }

    /// The versions by name of what is held of a kind in a namespace.
    #[must_use]
    pub fn versions<K: Cached>(&self, namespace: &str) -> BTreeMap<String, u64> {
        K::cached_in(self).versions(namespace)
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
