//! How many databases and APIs are replaced at once because another release of the operator has
//! another template for their pods.
//!
//! What a person changes is not paced. Turns are kept in memory: after a restart of the operator
//! those that were under way come on top, once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::DeepMerge;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::ResourceExt;

use super::{Error, Writer, compare};
use crate::dereference::short_digest;
use crate::store::Held;

/// The annotation that tells which release wrote the template, and the template's digest.
const TEMPLATE: &str = "rates.internal/template";
/// Whoever does not get ready stops the others no longer than this.
const LONGEST_TURN: Duration = Duration::from_mins(15);
/// How soon whoever waits asks again.
const AGAIN: Duration = Duration::from_secs(15);

/// The turns that there are, and who has them.
pub struct Pacing {
    release: String,
    at_once: usize,
    turns: Mutex<HashMap<String, Instant>>,
}

impl Pacing {
    #[must_use]
    pub fn new(release: &str, at_once: u16) -> Self {
        Self {
            release: release.to_owned(),
            at_once: usize::from(at_once),
            turns: Mutex::default(),
        }
    }

    /// Whether an object has a turn, one it has already or the next one that is free.
    fn take(&self, object: &str, now: Instant) -> bool {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, began| now.duration_since(*began) < LONGEST_TURN);
        if turns.contains_key(object) {
            return true;
        }
        let free = turns.len() < self.at_once;
        if free {
            turns.insert(object.to_owned(), now);
        }
        free
    }

    fn give_back(&self, object: &str) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.remove(object);
    }
}

/// What keeps pods by a template.
pub(super) trait Templated: Held + DeepMerge {
    fn template(&self) -> Option<&PodTemplateSpec>;

    /// Whether it keeps pods, and all of them are as the template says and serve.
    fn is_complete(&self) -> bool;

    fn replicas(&self) -> i32;
}

impl Templated for StatefulSet {
    fn template(&self) -> Option<&PodTemplateSpec> {
        Some(&self.spec.as_ref()?.template)
    }

    fn is_complete(&self) -> bool {
        let status = self.status.clone().unwrap_or_default();
        let replicas = Some(self.replicas());
        status.observed_generation == self.metadata.generation
            && status.updated_replicas == replicas
            && status.ready_replicas == replicas
    }

    fn replicas(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }
}

impl Templated for Deployment {
    fn template(&self) -> Option<&PodTemplateSpec> {
        Some(&self.spec.as_ref()?.template)
    }

    fn is_complete(&self) -> bool {
        let status = self.status.clone().unwrap_or_default();
        let replicas = Some(self.replicas());
        status.observed_generation == self.metadata.generation
            && status.updated_replicas == replicas
            && status.available_replicas == replicas
    }

    fn replicas(&self) -> i32 {
        self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
    }
}

impl Writer<'_> {
    /// Marks an object with its release and template. Whether it may be applied now: not if pods
    /// that another release made would be replaced, and enough others are being replaced.
    pub(super) fn has_turn<K: Templated>(
        &self,
        desired: &mut K,
        existing: Option<&K>,
    ) -> Result<bool, Error> {
        let (kind, name) = (K::kind(&()).into_owned(), desired.name_any());
        let serialise = |source| Error::Serialise {
            kind: kind.clone(),
            name: name.clone(),
            source,
        };
        let template = serde_json::to_vec(&desired.template()).map_err(serialise)?;
        let digest = short_digest(&[&template]);
        let release = &self.pacing.release;
        desired
            .annotations_mut()
            .insert(TEMPLATE.to_owned(), format!("{release}/{digest}"));
        let Some(existing) = existing.filter(|existing| existing.replicas() > 0) else {
            return Ok(true);
        };
        let object = format!("{kind}/{}/{name}", self.identity.namespace);
        let written = existing.annotations().get(TEMPLATE);
        let same = match written.and_then(|written| written.rsplit_once('/')) {
            Some((by, _)) if by == release => true,
            Some((_, template)) => template == digest,
            // Of a release that did not tell.
            None => compare::difference(&existing.template().cloned(), &desired.template().cloned())
                .map_err(serialise)?
                .is_none(),
        };
        if same {
            if existing.is_complete() {
                self.pacing.give_back(&object);
            }
            return Ok(true);
        }
        if self.pacing.take(&object, Instant::now()) {
            return Ok(true);
        }
        let mut hindrances = self.hindrances();
        hindrances.waits = true;
        hindrances.held_back = hindrances.held_back.into_iter().chain([AGAIN]).min();
        Ok(false)
    }

    /// What the status is to say of whoever waits.
    pub(super) fn waits(&self) -> String {
        format!(
            "waiting to be replaced with pods of this release of the operator, which replaces at most {} databases and \
             APIs at once (--rollouts-at-once)",
            self.pacing.at_once
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_bounded_given_back_and_end_by_themselves() {
        let (pacing, now) = (Pacing::new("2", 2), Instant::now());
        assert!(pacing.take("a", now) && pacing.take("b", now));
        assert!(pacing.take("a", now), "it has one already");
        assert!(!pacing.take("c", now));
        pacing.give_back("a");
        assert!(pacing.take("c", now) && !pacing.take("a", now));
        assert!(pacing.take("a", now + LONGEST_TURN));
    }
}
