//! Has the readers of an environment looked at again when it changes, and the source of one that copies.
//!
//! The watches tell of what people change, and of an environment alone. What the operator itself writes of one, its
//! status and its Secrets, is news for the others.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::reader::reference;
use super::source::EnvironmentName;
use crate::cache::{Cache, Error, Key};
use crate::crd::RatesEnvironment;
use crate::identity::Identity;

/// What the others last saw of each environment.
#[derive(Default)]
pub struct Neighbours(Mutex<HashMap<Key, Seen>>);

#[derive(Clone, Eq, PartialEq)]
struct Seen {
    source: Option<Key>,
    digest: u64,
}

impl Neighbours {
    /// Has the others looked at again, if an environment is not what they saw of it.
    pub fn tell(&self, key: &str, cache: &Cache) -> Result<(), Error> {
        let seen = Seen::of(key, cache)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match &seen {
            Some(seen) => known.insert(key.into(), seen.clone()),
            None => known.remove(key),
        };
        drop(known);
        if before == seen {
            return Ok(());
        }
        let sources = before.into_iter().chain(seen).filter_map(|seen| seen.source);
        let mut others = cache.referring_to(&format!("RatesEnvironment/{key}"));
        others.extend(sources);
        others.sort();
        others.dedup();
        others.retain(|other| **other != *key);
        if !others.is_empty() {
            cache.tell(others);
        }
        Ok(())
    }
}

impl Seen {
    fn of(key: &str, cache: &Cache) -> Result<Option<Self>, Error> {
        let Some(environment) = cache.of::<RatesEnvironment>(key)?.pop() else {
            return Ok(None);
        };
        let source = EnvironmentName::copied_by(&environment);
        let mut hasher = DefaultHasher::new();
        let metadata = &environment.metadata;
        (&metadata.uid, metadata.deletion_timestamp.is_some()).hash(&mut hasher);
        serde_json::to_string(&environment.spec.sharing)
            .unwrap_or_default()
            .hash(&mut hasher);
        environment.spec.suspend.hash(&mut hasher);
        source.as_ref().map(reference).hash(&mut hasher);
        if let Some(status) = &environment.status {
            status.phase.map(|phase| phase as u8).hash(&mut hasher);
            let database = status.database.as_ref();
            let database = database.map(|database| {
                let schema = database.schema.as_ref().and_then(|schema| schema.version);
                (database.seed.is_some(), database.primary.is_some(), schema)
            });
            database.hash(&mut hasher);
        }
        let identity = Identity::of(&environment).filter(|_| source.is_some());
        if let Some(name) = identity.map(|identity| identity.copy()) {
            let secrets = cache.of::<Secret>(key)?;
            let secret = secrets.iter().find(|secret| secret.name_any() == name);
            secret.map(ResourceExt::resource_version).hash(&mut hasher);
        }
        Ok(Some(Self {
            source: source.map(|source| Key::from(source.to_string())),
            digest: hasher.finish(),
        }))
    }
}
