//! The objects of one kind, as they were last seen or written.
//!
//! Two tell of an object: the watch, in order but late, and the answers to the operator's own
//! writes, at once but beside each other. Versions decide between them: they are numbers that grow
//! with every write to a kind.

use std::collections::{BTreeMap, HashSet};
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::Resource;

use super::compact::Error;
use super::objects::{Changed, Entry, Key, Objects};
use super::watched::Watched;

/// What is held of a kind.
pub struct Kind<K> {
    objects: Mutex<Objects>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Default for Kind<K> {
    fn default() -> Self {
        Self {
            objects: Mutex::default(),
            kind: PhantomData,
        }
    }
}

impl<K: Watched> Kind<K> {
    /// Takes an object as the watch or the answer to a write has it, unless something newer is known.
    pub fn put(&self, object: K) -> Changed {
        self.put_listed(object, 0)
    }

    /// Takes an object as the list at a version has it, which is right about everything that was
    /// seen before. 0: it is of no list.
    pub fn put_listed(&self, mut object: K, listed: u64) -> Changed {
        object.slim();
        let mut objects = self.lock();
        let Some(name) = name_of(&object) else {
            return Changed::new();
        };
        let version = version_of(object.meta().resource_version.as_deref());
        if objects.knows_newer(&name, version, object.meta().uid.as_deref(), listed) {
            return Changed::new();
        }
        let Some(environment) = object.environment() else {
            return objects.forget(&name);
        };
        let packed = match objects.packer.pack(&object) {
            Ok(packed) => packed,
            Err(error) => {
                tracing::error!(%error, kind = %K::kind(&()), %name, "cannot be stored");
                return Changed::new();
            }
        };
        let entry = Entry {
            environment: Key::from(environment),
            version,
            digest: object.digest(),
            refers_to: object.refers_to().into_iter().map(Into::into).collect(),
            phase: object.phase(),
            instances: object.instances(),
            port: object.port(),
            packed,
        };
        objects.insert(name, entry)
    }

    /// Takes note that an object is gone, or no longer has the label, as of a version.
    pub fn remove<R: Resource>(&self, object: &R) -> Changed {
        let Some(name) = name_of(object) else {
            return Changed::new();
        };
        let version = version_of(object.meta().resource_version.as_deref());
        let mut objects = self.lock();
        if objects
            .by_name
            .get(&name)
            .is_some_and(|entry| entry.version > version)
        {
            return Changed::new();
        }
        objects.bury(&name, version, None);
        objects.forget(&name)
    }

    /// Takes note that a delete was answered, and the object is gone.
    pub fn deleted(&self, namespace: &str, name: &str, uid: Option<String>) {
        let name = Key::from(format!("{namespace}/{name}"));
        let mut objects = self.lock();
        let version = objects.by_name.get(&name).map_or(0, |entry| entry.version);
        objects.bury(&name, version, uid);
        objects.forget(&name);
    }

    /// Begins a list.
    pub fn listing(&self) {
        let mut objects = self.lock();
        let versions = objects.by_name.values().map(|entry| entry.version);
        let newest = versions.chain(objects.listed).max().unwrap_or(0);
        objects.newest = objects.newest.max(newest);
        objects.listed = None;
    }

    /// Takes the version of the list that is under way. If it is older than what was seen before,
    /// etcd was restored from the past: nothing counts any more that is known.
    pub fn begin(&self, version: u64) -> Changed {
        let mut objects = self.lock();
        if version == 0 || version >= objects.newest {
            return Changed::new();
        }
        tracing::warn!(kind = %K::kind(&()), version, known = objects.newest, "the server has gone back in time: all is read anew");
        objects.newest = version;
        objects.gone.clear();
        let names: Vec<Key> = objects.by_name.keys().cloned().collect();
        names.iter().flat_map(|name| objects.forget(name)).collect()
    }

    /// Ends a list that was taken at a version: what is older and was not met in it is gone.
    pub fn listed(&self, met: &HashSet<Key>, version: u64) -> Changed {
        let mut objects = self.lock();
        let gone: Vec<Key> = objects
            .by_name
            .iter()
            .filter(|(name, entry)| entry.version <= version && !met.contains(*name))
            .map(|(name, _)| name.clone())
            .collect();
        objects.listed = Some(version);
        objects.complete = true;
        objects.missing = false;
        objects.forbidden = false;
        gone.iter().flat_map(|name| objects.forget(name)).collect()
    }

    /// Takes note that the cluster has no such kind: then that is all there is to know of it.
    pub fn missed(&self) {
        let mut objects = self.lock();
        objects.complete = true;
        objects.missing = true;
        objects.forbidden = false;
        objects.by_name.clear();
        objects.of.clear();
    }

    /// Takes note that the operator may not list the kind: nothing waits for it.
    pub fn forbid(&self) {
        let mut objects = self.lock();
        objects.complete = true;
        objects.forbidden = true;
        objects.missing = false;
    }

    /// Whether the operator may not list the kind.
    pub fn is_forbidden(&self) -> bool {
        self.lock().forbidden
    }

    /// Whether the cluster has no such kind.
    pub fn is_missing(&self) -> bool {
        self.lock().missing
    }

    /// Whether all were listed once.
    pub fn is_listed(&self) -> bool {
        self.lock().complete
    }

    /// The objects of an environment, by name.
    pub fn of(&self, environment: &str) -> Result<Vec<K>, Error> {
        let objects = self.lock();
        let mut names: Vec<&Key> = objects.of.get(environment).into_iter().flatten().collect();
        names.sort_unstable();
        names
            .into_iter()
            .filter_map(|name| objects.by_name.get(name))
            .map(|entry| objects.packer.unpack(&entry.packed))
            .collect()
    }

    /// The environments of which an object refers to something.
    pub fn referring_to(&self, what: &str) -> Changed {
        let objects = self.lock();
        let refers = |entry: &&Entry| entry.refers_to.iter().any(|other| &**other == what);
        let entries = objects.by_name.values().filter(refers);
        entries.map(|entry| entry.environment.clone()).collect()
    }

    /// The environments of which there are objects.
    pub fn environments(&self) -> Changed {
        self.lock().of.keys().cloned().collect()
    }

    /// The activator's ports, each with the environment that has it.
    pub fn ports(&self) -> Vec<(Key, u16)> {
        let objects = self.lock();
        let with_port = |entry: &Entry| Some((entry.environment.clone(), entry.port?));
        objects.by_name.values().filter_map(with_port).collect()
    }

    /// How many are in each phase.
    pub fn phases(&self) -> BTreeMap<String, usize> {
        let mut phases = BTreeMap::new();
        for entry in self.lock().by_name.values() {
            let phase = entry
                .phase
                .map_or_else(|| "None".to_owned(), |phase| format!("{phase:?}"));
            *phases.entry(phase).or_default() += 1;
        }
        phases
    }

    /// How many instances each environment's database is to have now.
    pub fn instances(&self) -> Vec<(Key, u8)> {
        let objects = self.lock();
        let with_instances = |entry: &Entry| Some((entry.environment.clone(), entry.instances?));
        objects.by_name.values().filter_map(with_instances).collect()
    }

    /// The versions by name of what is held in a namespace.
    pub fn versions(&self, namespace: &str) -> BTreeMap<String, u64> {
        let objects = self.lock();
        let within = objects.by_name.iter().filter_map(|(name, entry)| {
            let (place, name) = name.split_once('/')?;
            (place == namespace).then(|| (name.to_owned(), entry.version))
        });
        within.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `NAMESPACE/NAME` of an object.
pub fn name_of<K: Resource>(object: &K) -> Option<Key> {
    let metadata = object.meta();
    let (namespace, name) = (metadata.namespace.as_ref()?, metadata.name.as_ref()?);
    Some(Key::from(format!("{namespace}/{name}")))
}

/// Versions of one kind compare as numbers. A server whose versions are none is taken at its word,
/// in the order in which it speaks.
pub fn version_of(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::ObjectMeta;

    use super::*;
    use crate::identity::INSTANCE_LABEL;

    fn object(uid: &str, version: &str) -> ConfigMap {
        let metadata = ObjectMeta {
            namespace: Some("quay".to_owned()),
            name: Some("a".to_owned()),
            uid: Some(uid.to_owned()),
            resource_version: Some(version.to_owned()),
            labels: Some([(INSTANCE_LABEL.to_owned(), "pier".to_owned())].into()),
            ..ObjectMeta::default()
        };
        ConfigMap {
            metadata,
            data: Some([("version".to_owned(), version.to_owned())].into()),
            ..ConfigMap::default()
        }
    }

    fn held(kind: &Kind<ConfigMap>) -> Vec<String> {
        let objects = kind.of("quay/pier").unwrap();
        let version = |object: ConfigMap| object.metadata.resource_version.unwrap();
        objects.into_iter().map(version).collect()
    }

    #[test]
    fn a_watch_that_lags_brings_no_older_state_back() {
        let kind = Kind::default();
        assert_eq!(kind.put(object("u", "9")), ["quay/pier".into()]);
        assert!(kind.put(object("u", "8")).is_empty());
        assert_eq!(held(&kind), ["9"]);
        assert!(kind.put(object("u", "9")).is_empty(), "its own write is no news");
        assert_eq!(kind.put(object("u", "10")).len(), 1);
        assert_eq!(held(&kind), ["10"], "they compare as numbers");
    }

    #[test]
    fn what_was_deleted_does_not_come_back_and_what_is_made_anew_does() {
        let kind = Kind::default();
        kind.put(object("u", "5"));
        kind.deleted("quay", "a", Some("u".to_owned()));
        kind.put(object("u", "6"));
        assert!(held(&kind).is_empty(), "the watch told of an earlier change");
        kind.put(object("other", "8"));
        kind.remove(&object("u", "7"));
        assert_eq!(held(&kind), ["8"], "the watch told of the earlier one's end");
        kind.remove(&object("other", "9"));
        kind.put(object("other", "8"));
        assert!(held(&kind).is_empty(), "the answer to a write came late");
        kind.put(object("other", "10"));
        assert_eq!(held(&kind), ["10"], "only its label was gone");
    }

    #[test]
    fn a_list_removes_what_is_gone_and_not_what_is_newer_than_itself() {
        let kind = Kind::default();
        kind.put(object("u", "5"));
        assert!(!kind.is_listed());
        kind.listing();
        kind.listed(&HashSet::new(), 4);
        assert_eq!(held(&kind), ["5"]);
        kind.listing();
        assert_eq!(kind.listed(&HashSet::new(), 6), ["quay/pier".into()]);
        assert!(held(&kind).is_empty() && kind.is_listed());
        kind.put(object("u", "6"));
        assert!(held(&kind).is_empty(), "older than the list, and was not in it");
        kind.put(object("u", "7"));
        assert_eq!(held(&kind), ["7"]);
    }

    #[test]
    fn a_server_that_went_back_in_time_is_believed() {
        let kind = Kind::default();
        kind.put(object("u", "9"));
        kind.listing();
        assert_eq!(kind.begin(6), ["quay/pier".into()]);
        kind.put_listed(object("u", "5"), 6);
        assert_eq!(held(&kind), ["5"]);
        kind.listed(&HashSet::from(["quay/a".into()]), 6);
        kind.put(object("u", "7"));
        assert_eq!(held(&kind), ["7"], "and its history goes on");
    }

    #[test]
    fn a_list_corrects_what_is_known_wrongly_of_its_past() {
        let kind = Kind::default();
        // Of a history that etcd no longer has, although the new one is longer already.
        kind.put(object("u", "8"));
        kind.listing();
        assert!(kind.begin(10).is_empty());
        kind.put_listed(object("u", "5"), 10);
        assert_eq!(held(&kind), ["5"]);
        kind.put(object("u", "12"));
        kind.put_listed(object("u", "5"), 10);
        assert_eq!(held(&kind), ["12"], "written since the list was taken");
    }

    #[test]
    fn both_environments_are_told_when_an_object_moves_between_them() {
        let kind = Kind::default();
        kind.put(object("u", "1"));
        let mut moved = object("u", "2");
        moved.metadata.labels = Some([(INSTANCE_LABEL.to_owned(), "mole".to_owned())].into());
        assert_eq!(kind.put(moved.clone()), ["quay/pier".into(), "quay/mole".into()]);
        assert!(held(&kind).is_empty());
        assert_eq!(kind.of("quay/mole").unwrap().len(), 1);
        moved.metadata.labels = None;
        moved.metadata.resource_version = Some("3".to_owned());
        assert_eq!(kind.put(moved), ["quay/mole".into()]);
        assert!(kind.versions("quay").is_empty());
    }
}
