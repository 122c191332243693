//! Applies one object: only if it differs, and only if it is ours. Every answer goes into the cache.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::DeepMerge;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use tokio::sync::OnceCell;

use super::compare;
use super::corrections::{Contest, Corrections, Turn, writer_of};
use super::error::{Error, write_error};
use super::pacing::Pacing;
use crate::annotations::APPLIED;
use crate::cache::{Cache, Cached};
use crate::crd::RatesEnvironment;
use crate::identity::{Identity, MANAGER, Ownership};

/// Applies what one environment is to have.
pub(super) struct Writer<'a> {
    pub(super) client: &'a Client,
    pub(super) cache: &'a Cache,
    pub(super) corrections: &'a Corrections,
    pub(super) pacing: &'a Pacing,
    pub(super) identity: &'a Identity,
    writes: AtomicU32,
    hindrances: Mutex<Hindrances>,
    /// Whether the environment still is there, once it was asked.
    exists: OnceCell<bool>,
}

/// What keeps objects from being written.
#[derive(Default)]
pub(super) struct Hindrances {
    pub(super) told: Vec<Contest>,
    pub(super) waits: bool,
    pub(super) held_back: Option<Duration>,
    /// Kinds that are wanted and may not be listed.
    pub(super) not_permitted: BTreeSet<String>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        client: &'a Client,
        cache: &'a Cache,
        (corrections, pacing): (&'a Corrections, &'a Pacing),
        identity: &'a Identity,
    ) -> Self {
        Self {
            client,
            cache,
            corrections,
            pacing,
            identity,
            writes: AtomicU32::new(0),
            hindrances: Mutex::default(),
            exists: OnceCell::new(),
        }
    }

    /// How much was written, and what kept objects from it.
    pub(super) fn finish(self) -> (u32, Hindrances) {
        let hindrances = self.hindrances.into_inner();
        let hindrances = hindrances.unwrap_or_else(PoisonError::into_inner);
        (self.writes.into_inner(), hindrances)
    }
}

impl Writer<'_> {
    pub(super) async fn ensure_among<K: Cached + DeepMerge>(
        &self,
        desired: K,
        existing: &[K],
    ) -> Result<K, Error> {
        let existing = named(existing, &desired.name_any());
        Box::pin(self.ensure(desired, existing)).await
    }

    /// Applies an object unless it is there already as it should be.
    pub(super) async fn ensure<K: Cached + DeepMerge>(
        &self,
        desired: K,
        existing: Option<&K>,
    ) -> Result<K, Error> {
        if self.cache.is_forbidden::<K>() {
            self.hindrances()
                .not_permitted
                .insert(K::plural(&()).into_owned());
            return Ok(desired);
        }
        if existing.is_some() {
            return self.ensure_looked_for(desired, existing).await;
        }
        // What does not have our labels is not in the cache.
        let name = desired.name_any();
        let found = self.api::<K>().get_opt(&name).await;
        let found = found.map_err(|source| write_error::<K>(&name, source))?;
        self.ensure_looked_for(desired, found.as_ref()).await
    }

    /// The same, where it is known that what is not given does not exist under any label.
    pub(super) async fn ensure_looked_for<K: Cached + DeepMerge>(
        &self,
        mut desired: K,
        existing: Option<&K>,
    ) -> Result<K, Error> {
        let name = desired.name_any();
        let serialise = |source| Error::Serialise {
            kind: K::kind(&()).into_owned(),
            name: name.clone(),
            source,
        };
        let digest = compare::sign(&mut desired).map_err(serialise)?;
        let Some(existing) = existing else {
            self.still_there().await?;
            return self.patch(MANAGER, &name, &desired).await;
        };
        self.check::<K>(existing)?;
        // The object that was looked at is meant, and not one that was made under its name since.
        desired.meta_mut().uid = existing.uid();
        let surplus = compare::surplus(existing, &desired).map_err(serialise)?;
        let differs = compare::difference(existing, &desired).map_err(serialise)?;
        let object = format!("{}/{}/{name}", K::kind(&()), self.identity.namespace);
        let Some(path) = surplus.as_ref().map(|(_, path)| path).or(differs.as_ref()) else {
            self.tell_contest(&object);
            return Ok(existing.clone());
        };
        let written = existing.annotations().get(APPLIED) == Some(&digest);
        match self.corrections.turn(&object, &digest, written, Instant::now()) {
            Turn::Now(times) if Corrections::is_contest(times) => {
                let contest = self.contest::<K>(&name, path).await?;
                tracing::warn!(%contest, times, "somebody writes against the operator");
                self.corrections.note(&object, contest);
            }
            Turn::Now(_) => {}
            Turn::Later(pause) => {
                self.tell_contest(&object);
                let mut hindrances = self.hindrances();
                hindrances.held_back = hindrances.held_back.into_iter().chain([pause]).min();
                return Ok(existing.clone());
            }
        }
        self.tell_contest(&object);
        if let Some((patch, _)) = surplus {
            let parameters = PatchParams {
                field_manager: Some(MANAGER.to_owned()),
                ..PatchParams::default()
            };
            self.write::<K, _>(&name, &parameters, &Patch::Merge(patch))
                .await?;
        }
        self.patch(MANAGER, &name, &desired).await
    }

    /// Who changes a field of an object.
    async fn contest<K: Cached>(&self, name: &str, path: &compare::Path) -> Result<Contest, Error> {
        let found = self.api::<K>().get_metadata(name).await;
        let found = found.map_err(|source| write_error::<K>(name, source))?;
        let fields = found.metadata.managed_fields.unwrap_or_default();
        Ok(Contest {
            kind: K::kind(&()).into_owned(),
            name: name.to_owned(),
            field: path.join("."),
            manager: writer_of(&fields, path),
        })
    }

    fn tell_contest(&self, object: &str) {
        let contest = self.corrections.contest(object, Instant::now());
        self.hindrances().told.extend(contest);
    }

    pub(super) fn hindrances(&self) -> MutexGuard<'_, Hindrances> {
        self.hindrances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses to make anything for an environment that was deleted meanwhile: nothing would come
    /// and take away what is to outlive it.
    pub(super) async fn still_there(&self) -> Result<(), Error> {
        let ask = async || {
            let api: Api<RatesEnvironment> = Api::namespaced(self.client.clone(), &self.identity.namespace);
            let name = &self.identity.name;
            let found = api.get_metadata_opt(name).await;
            let found = found.map_err(|source| write_error::<RatesEnvironment>(name, source))?;
            let same = |metadata: &ObjectMeta| {
                metadata.uid.as_ref() == Some(&self.identity.uid) && metadata.deletion_timestamp.is_none()
            };
            Ok::<_, Error>(found.is_some_and(|found| same(&found.metadata)))
        };
        if *self.exists.get_or_try_init(ask).await? {
            Ok(())
        } else {
            Err(Error::Gone)
        }
    }

    /// Refuses what is not ours to change.
    pub(super) fn check<K: Cached>(&self, existing: &K) -> Result<(), Error> {
        let (kind, name) = (K::kind(&()).into_owned(), existing.name_any());
        match self.identity.ownership(existing.meta()) {
            Ownership::Ours | Ownership::Retained => Ok(()),
            Ownership::Leaving => Err(Error::Leaving { kind, name }),
            Ownership::Foreign => Err(Error::NameTaken { kind, name }),
        }
    }

    pub(super) async fn patch<K: Cached, T: Serialize + std::fmt::Debug>(
        &self,
        manager: &str,
        name: &str,
        object: &T,
    ) -> Result<K, Error> {
        let parameters = PatchParams::apply(manager).force();
        self.write(name, &parameters, &Patch::Apply(object)).await
    }

    async fn write<K: Cached, T: Serialize + std::fmt::Debug>(
        &self,
        name: &str,
        parameters: &PatchParams,
        patch: &Patch<T>,
    ) -> Result<K, Error> {
        let written = self.api::<K>().patch(name, parameters, patch).await;
        self.count();
        let written = written.map_err(|source| write_error::<K>(name, source))?;
        self.cache.put(&written);
        let manager = parameters.field_manager.as_deref();
        tracing::info!(kind = %K::kind(&()), name, manager, "applied");
        Ok(written)
    }

    /// Deletes this very object, and in the background what it owns.
    pub(super) async fn delete<K: Cached>(&self, object: &K) -> Result<(), Error> {
        let name = object.name_any();
        let api: Api<K> = self.api();
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.uid(),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        let deleted = api.delete(&name, &parameters).await;
        self.count();
        tracing::info!(kind = %K::kind(&()), name, "deleted, as it is no longer wanted");
        match deleted {
            Ok(answer) => self.cache.deleted(object, answer.left().as_ref()),
            // Somebody was faster, and the watch tells.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(source) => return Err(write_error::<K>(&name, source)),
        }
        Ok(())
    }

    pub(super) fn count(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn api<K: Cached>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.identity.namespace)
    }
}

pub(super) fn named<'a, K: Resource>(objects: &'a [K], name: &str) -> Option<&'a K> {
    objects
        .iter()
        .find(|object| object.meta().name.as_deref() == Some(name))
}
