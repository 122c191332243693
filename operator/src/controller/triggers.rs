//! When to look at an environment again: something of it changed in a way that matters.
//!
//! Nothing is kept but a number an object, by which a change that does not matter is passed
//! over: Patroni writes to its `ConfigMaps` and its pods every few seconds.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;

/// An object's namespace and name.
pub type Key = (String, String);

/// Which objects changed, in a way that `digest` shows, appeared or vanished; with the key that
/// `key` gives for each. Errors of the watch are logged, and it goes on.
pub fn changes<K>(
    api: Api<K>,
    config: watcher::Config,
    digest: fn(&K) -> u64,
    key: fn(&K) -> Option<Key>,
) -> impl Stream<Item = Key> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let mut seen = Seen::default();
    watcher(api, config)
        .default_backoff()
        .filter_map(async |event| match event {
            Ok(event) => Some(event),
            Err(error) => {
                tracing::warn!(%error, kind = %K::kind(&()), "a watch failed and is tried again");
                None
            }
        })
        .flat_map(move |event| stream::iter(seen.take(event, digest, key)))
}

/// What was seen of a kind: by object, the environment and the digest.
#[derive(Default)]
struct Seen {
    objects: HashMap<Key, (Key, u64)>,
    /// Met again in a list that is under way.
    listed: Option<HashSet<Key>>,
}

impl Seen {
    fn take<K: Resource>(
        &mut self,
        event: Event<K>,
        digest: fn(&K) -> u64,
        key: fn(&K) -> Option<Key>,
    ) -> Vec<Key> {
        match event {
            Event::Init => {
                self.listed = Some(HashSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(name_of(&object));
                }
                self.meet(&object, digest, key)
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let mut gone = Vec::new();
                self.objects.retain(|name, (environment, _)| {
                    let there = listed.contains(name);
                    if !there {
                        gone.push(environment.clone());
                    }
                    there
                });
                gone
            }
            Event::Apply(object) => self.meet(&object, digest, key),
            Event::Delete(object) => {
                self.objects.remove(&name_of(&object));
                key(&object).into_iter().collect()
            }
        }
    }

    fn meet<K: Resource>(
        &mut self,
        object: &K,
        digest: fn(&K) -> u64,
        key: fn(&K) -> Option<Key>,
    ) -> Vec<Key> {
        let Some(environment) = key(object) else {
            return Vec::new();
        };
        let now = digest(object);
        let before = self.objects.insert(name_of(object), (environment.clone(), now));
        if before.is_some_and(|(_, before)| before == now) {
            Vec::new()
        } else {
            vec![environment]
        }
    }
}

/// An object's own key.
pub fn name_of<K: Resource>(object: &K) -> Key {
    let metadata = object.meta();
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

/// The key of the environment that an object is of, by its labels.
pub fn by_label<K: Resource>(object: &K) -> Option<Key> {
    let metadata = object.meta();
    let instance = metadata.labels.as_ref()?.get(crate::identity::INSTANCE_LABEL)?;
    Some((metadata.namespace.clone()?, instance.clone()))
}

/// Every write counts.
pub fn any_write<K: Resource>(object: &PartialObjectMeta<K>) -> u64 {
    hash(&(&object.metadata.uid, &object.metadata.resource_version))
}

/// What is specified counts, the status does not.
pub fn specification<K: Resource>(object: &PartialObjectMeta<K>) -> u64 {
    let metadata = &object.metadata;
    hash(&(
        &metadata.uid,
        metadata.generation,
        &metadata.labels,
        metadata.deletion_timestamp.is_some(),
        owners(object),
    ))
}

/// Whose it is counts, what it holds does not.
pub fn ownership<K: Resource>(object: &PartialObjectMeta<K>) -> u64 {
    let metadata = &object.metadata;
    hash(&(
        &metadata.uid,
        &metadata.labels,
        metadata.deletion_timestamp.is_some(),
        owners(object),
    ))
}

fn owners<K: Resource>(object: &PartialObjectMeta<K>) -> Vec<&String> {
    object
        .metadata
        .owner_references
        .iter()
        .flatten()
        .map(|owner| &owner.uid)
        .collect()
}

/// How a pod stands, without what only its owner reads.
pub fn standing(pod: &Pod) -> u64 {
    let mut hasher = DefaultHasher::new();
    (
        &pod.metadata.uid,
        pod.labels(),
        pod.metadata.deletion_timestamp.is_some(),
    )
        .hash(&mut hasher);
    let Some(status) = &pod.status else {
        return hasher.finish();
    };
    status.phase.hash(&mut hasher);
    for condition in status.conditions.iter().flatten() {
        (
            &condition.type_,
            &condition.status,
            &condition.reason,
            &condition.message,
        )
            .hash(&mut hasher);
    }
    let containers = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    for container in containers {
        (
            &container.name,
            container.ready,
            container.started,
            container.restart_count,
        )
            .hash(&mut hasher);
        let Some(state) = &container.state else { continue };
        state.running.is_some().hash(&mut hasher);
        state
            .waiting
            .as_ref()
            .map(|waiting| &waiting.reason)
            .hash(&mut hasher);
        state
            .terminated
            .as_ref()
            .map(|end| (end.exit_code, &end.message))
            .hash(&mut hasher);
    }
    hasher.finish()
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::ObjectMeta;

    use super::*;

    fn object(name: &str, version: &str) -> ConfigMap {
        let metadata = ObjectMeta {
            namespace: Some("quay".to_owned()),
            name: Some(name.to_owned()),
            resource_version: Some(version.to_owned()),
            labels: Some([(crate::identity::INSTANCE_LABEL.to_owned(), format!("of-{name}"))].into()),
            ..ObjectMeta::default()
        };
        ConfigMap {
            metadata,
            ..ConfigMap::default()
        }
    }

    fn take(seen: &mut Seen, event: Event<ConfigMap>) -> Vec<String> {
        let version = |object: &ConfigMap| hash(&object.metadata.resource_version);
        seen.take(event, version, by_label)
            .into_iter()
            .map(|(_, name)| name)
            .collect()
    }

    #[test]
    fn what_was_seen_already_is_passed_over_also_after_a_new_list() {
        let mut seen = Seen::default();
        assert_eq!(take(&mut seen, Event::Apply(object("a", "1"))), ["of-a"]);
        assert!(take(&mut seen, Event::Apply(object("a", "1"))).is_empty());
        assert!(take(&mut seen, Event::Init).is_empty());
        assert!(take(&mut seen, Event::InitApply(object("a", "1"))).is_empty());
        assert!(take(&mut seen, Event::InitDone).is_empty());
        assert_eq!(take(&mut seen, Event::Apply(object("a", "2"))), ["of-a"]);
    }

    #[test]
    fn what_vanished_is_noticed_also_while_nobody_watched() {
        let mut seen = Seen::default();
        take(&mut seen, Event::Apply(object("a", "1")));
        take(&mut seen, Event::Apply(object("b", "1")));
        assert_eq!(take(&mut seen, Event::Delete(object("a", "1"))), ["of-a"]);
        take(&mut seen, Event::Init);
        assert_eq!(take(&mut seen, Event::InitDone), ["of-b"]);
    }
}
