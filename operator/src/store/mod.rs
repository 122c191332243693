//! What exists of all environments, held in memory: a list and a watch for each kind, by label.
//!
//! A reconcile reads from here, and asks the API server only for what has no label of ours. It sees
//! its own writes, because their answers are put here at once; the watches bring what others do.

mod compact;
mod follow;
mod kind;
mod matters;

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use crate::build::HTTPRoute;
use crate::crd::RatesEnvironment;
use crate::metrics::Metrics;
use crate::run::chain;
use crate::settings::Namespaces;

pub use compact::Error;
use follow::{Failure, Follower, OURS};
pub use kind::{Key, Kind, name_of};
pub use matters::Held;

/// How long what takes how long.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long an answer to a list, or the beginning of one to a watch, may take.
    pub answer: Duration,
    /// A watch that brings nothing for so long is begun again. API servers send a bookmark a minute.
    pub silence: Duration,
    /// How often a kind is listed although its watch works.
    pub relist: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            answer: Duration::from_mins(1),
            silence: Duration::from_secs(150),
            relist: Duration::from_hours(1),
        }
    }
}

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
            /// Why which kind is not followed at present.
            failures: Mutex<BTreeMap<String, String>>,
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
                    failures: Mutex::default(),
                    metrics,
                };
                (store, triggered)
            }

            fn followers<'a>(
                &'a self,
                client: &Client,
                namespaces: &Namespaces,
                timing: Timing,
            ) -> Vec<Following<'a>> {
                vec![
                    self.follower::<RatesEnvironment>(client, namespaces, timing, None),
                    $(self.follower::<$kind>(client, namespaces, timing, Some(OURS)),)+
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

        /// Which kinds cannot be listed that nobody can lead without, and why.
        pub async fn cannot_list(client: &Client, namespaces: &Namespaces) -> Vec<String> {
            let mut reasons = vec![try_list::<RatesEnvironment>(client, namespaces, None).await];
            $(reasons.push(try_list::<$kind>(client, namespaces, Some(OURS)).await);)+
            reasons.into_iter().flatten().collect()
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

/// Asks for one object of a kind; gives why it cannot be had, if it is needed.
async fn try_list<K: Held>(
    client: &Client,
    namespaces: &Namespaces,
    selector: Option<&str>,
) -> Option<String> {
    let mut one = ListParams::default().limit(1);
    one.label_selector = selector.map(str::to_owned);
    let api = api::<K>(client, namespaces);
    let answer = timeout(Timing::default().answer, api.list_metadata(&one)).await;
    let failure = match answer {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => Failure::Api(error),
        Err(_) => Failure::Slow,
    };
    if (K::OPTIONAL && failure.is_missing()) || (!K::ESSENTIAL && failure.is_forbidden()) {
        return None;
    }
    Some(format!("{}: {}", K::plural(&()), chain(&failure)))
}

fn api<K>(client: &Client, namespaces: &Namespaces) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespaces.only() {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The store, the environments of which something changed, and what keeps it: to be polled for as
/// long as the store is used.
pub fn follow(
    client: &Client,
    namespaces: &Namespaces,
    metrics: Arc<Metrics>,
    timing: Timing,
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
        join_all(kept.followers(&client, &namespaces, timing)).await;
    };
    (store, triggered, keeping)
}

impl Store {
    fn follower<'a, K: Held>(
        &'a self,
        client: &Client,
        namespaces: &Namespaces,
        timing: Timing,
        selector: Option<&'static str>,
    ) -> Following<'a> {
        let follower = Follower::<K> {
            api: api(client, namespaces),
            selector,
            fields: namespaces.field_selector(),
            store: self,
            timing,
            malformed: HashSet::new(),
        };
        Box::pin(follower.follow())
    }

    fn follows<K: Held>(&self) {
        let kind = K::plural(&());
        self.metrics.follows(&kind, true);
        self.failures().remove(&*kind);
    }

    fn follows_not<K: Held>(&self, failure: &Failure) {
        let kind = K::plural(&());
        self.metrics.follows(&kind, false);
        self.failures().insert(kind.into_owned(), chain(failure));
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
    pub fn is_forbidden<K: Held>(&self) -> bool {
        K::held_in(self).is_forbidden()
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
    pub fn phases(&self) -> BTreeMap<String, usize> {
        self.environments.phases()
    }

    /// The versions by name of what is held of a kind in a namespace.
    #[must_use]
    pub fn versions<K: Held>(&self, namespace: &str) -> BTreeMap<String, u64> {
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
