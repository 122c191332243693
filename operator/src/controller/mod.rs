//! Watches and the queue: which environment is looked at when, and how many at once.

mod triggers;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::crd::RatesEnvironment;
use crate::identity::{Identity, MANAGED_BY_LABEL, MANAGER};
use crate::reconcile::{Context, Error, reconcile};
use crate::run::chain;
use triggers::Key;

/// An environment, or why it could not be understood: one malformed object stalls no other.
type Guarded = DeserializeGuard<RatesEnvironment>;

/// Where and how the controller looks.
#[derive(Clone, Debug)]
pub struct Scope {
    /// One namespace, or all of them.
    pub namespace: Option<String>,
    /// How many environments are looked at at once.
    pub concurrency: u16,
}

/// Whether all environments were listed once, and the future that keeps the list and reconciles
/// what is in it.
pub fn controller(
    context: Context,
    scope: &Scope,
    stop: CancellationToken,
) -> (
    tokio::sync::watch::Receiver<bool>,
    impl Future<Output = ()> + Send + 'static,
) {
    let client = context.client.clone();
    let (store, writer) = reflector::store();
    // Not the store's own `wait_until_ready`: of those who wait for it in several tasks, it wakes one.
    let (all, listed) = tokio::sync::watch::channel(false);
    let environments = watcher(api::<Guarded>(&client, scope), watcher::Config::default())
        .default_backoff()
        .inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) {
                all.send_replace(true);
            }
        })
        .modify(|environment| environment.managed_fields_mut().clear())
        .reflect(writer)
        .applied_objects()
        .predicate_filter(
            predicates::generation
                .combine(predicates::labels)
                .combine(predicates::annotations),
            PredicateConfig::default(),
        )
        .inspect_err(|error| tracing::warn!(%error, "the watch of environments failed and is tried again"));
    let state = Arc::new(State {
        context,
        failures: Mutex::default(),
    });
    let running = Controller::for_stream(environments, store.clone())
        .with_config(Config::default().concurrency(scope.concurrency))
        .reconcile_on(
            children(&client, scope).map(|(namespace, name)| ObjectRef::new(&name).within(&namespace)),
        )
        .reconcile_on(seed_sources(&client, scope, store.clone()))
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(one, retry, state)
        .for_each(|outcome| {
            if let Err(error) = outcome {
                tracing::debug!(%error, "not reconciled");
            }
            std::future::ready(())
        });
    (listed, running)
}

struct State {
    context: Context,
    /// How often in a row an environment could not be reconciled.
    failures: Mutex<HashMap<Key, u32>>,
}

impl State {
    fn failures<T>(&self, change: impl FnOnce(&mut HashMap<Key, u32>) -> T) -> T {
        change(&mut self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn one(guarded: Arc<Guarded>, state: Arc<State>) -> Result<Action, Error> {
    let environment = match &guarded.0 {
        Ok(environment) => environment,
        Err(invalid) => {
            tracing::warn!(
                name = guarded.name_any(),
                error = invalid.error,
                "not understood, and left alone"
            );
            return Ok(Action::await_change());
        }
    };
    let Some(identity) = Identity::of(environment) else {
        return Ok(Action::await_change());
    };
    let again = Box::pin(reconcile(identity, &state.context)).await?;
    state.failures(|failures| failures.remove(&triggers::name_of(&*guarded)));
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// Half a second after the first failure, a minute after many.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the controller asks for"
)]
fn retry(guarded: Arc<Guarded>, error: &Error, state: Arc<State>) -> Action {
    let failures = state.failures(|failures| {
        let count = failures.entry(triggers::name_of(&*guarded)).or_default();
        *count += 1;
        *count
    });
    let pause = Duration::from_millis(500 << failures.saturating_sub(1).min(7)).min(Duration::from_mins(1));
    let error = chain(error);
    tracing::warn!(environment = guarded.name_any(), error, ?pause, "tried again");
    Action::requeue(pause)
}

/// The environments of which a child changed.
fn children(client: &Client, scope: &Scope) -> impl Stream<Item = Key> + Send + use<> {
    let ours = watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}={MANAGER}"));
    macro_rules! watch {
        ($kind:ty, $digest:path) => {
            triggers::changes(
                api::<PartialObjectMeta<$kind>>(client, scope),
                ours.clone(),
                $digest,
                triggers::by_label,
            )
            .boxed()
        };
    }
    stream::select_all([
        triggers::changes(
            api::<Pod>(client, scope),
            ours.clone(),
            triggers::standing,
            triggers::by_label,
        )
        .boxed(),
        watch!(StatefulSet, triggers::any_write),
        watch!(Deployment, triggers::any_write),
        watch!(Job, triggers::any_write),
        watch!(PersistentVolumeClaim, triggers::any_write),
        watch!(Secret, triggers::any_write),
        watch!(Service, triggers::any_write),
        watch!(ServiceAccount, triggers::any_write),
        watch!(Role, triggers::any_write),
        watch!(RoleBinding, triggers::any_write),
        watch!(HorizontalPodAutoscaler, triggers::specification),
        watch!(PodDisruptionBudget, triggers::specification),
        watch!(ConfigMap, triggers::ownership),
    ])
}

/// The environments whose seed is in a `ConfigMap` that changed. Those are people's own, so that
/// only their metadata is asked for.
fn seed_sources(
    client: &Client,
    scope: &Scope,
    store: Store<Guarded>,
) -> impl Stream<Item = ObjectRef<Guarded>> + Send + use<> {
    let others = watcher::Config::default().labels(&format!("{MANAGED_BY_LABEL}!={MANAGER}"));
    let own = |config_map: &PartialObjectMeta<ConfigMap>| Some(triggers::name_of(config_map));
    triggers::changes(
        api::<PartialObjectMeta<ConfigMap>>(client, scope),
        others,
        triggers::any_write,
        own,
    )
    .flat_map(move |(namespace, name)| stream::iter(seeded_from(&store, &namespace, &name)))
}

fn seeded_from(store: &Store<Guarded>, namespace: &str, name: &str) -> Vec<ObjectRef<Guarded>> {
    let uses = |environment: &RatesEnvironment| {
        let seed = environment.spec.database.seed.as_ref();
        environment.namespace().as_deref() == Some(namespace)
            && seed
                .and_then(|seed| seed.config_map.as_ref())
                .is_some_and(|source| source.name == name)
    };
    let state = store.state();
    let found = state.iter().filter(|guarded| guarded.0.as_ref().is_ok_and(uses));
    found
        .map(|guarded| ObjectRef::from_obj(guarded.as_ref()))
        .collect()
}

fn api<K>(client: &Client, scope: &Scope) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match &scope.namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::ObjectList;

    use super::*;

    #[test]
    fn one_object_that_is_not_understood_leaves_the_others_readable() {
        let object = |name: &str, replicas: &str| {
            format!(
                r#"{{"apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
                "metadata": {{"name": "{name}"}}, "spec": {{"api": {{"replicas": {replicas}}}}}}}"#
            )
        };
        let list = format!(
            r#"{{"metadata": {{}}, "items": [{}, {}]}}"#,
            object("odd", "\"many\""),
            object("fine", "2")
        );
        let list: ObjectList<Guarded> = serde_json::from_str(&list).unwrap();
        assert_eq!(list.items[0].name_any(), "odd");
        assert!(list.items[0].0.as_ref().unwrap_err().error.contains("many"));
        assert_eq!(list.items[1].0.as_ref().unwrap().spec.api.replicas, Some(2));
    }
}
