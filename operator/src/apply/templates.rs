//! What keeps pods by a template, and whether its pods may be replaced now.

use std::time::Duration;

use k8s_openapi::DeepMerge;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::ResourceExt;

use super::compare;
use super::error::Error;
use super::writer::Writer;
use crate::annotations::TEMPLATE;
use crate::cache::Cached;
use crate::digest::short_digest;

/// How soon whoever waits asks again.
const AGAIN: Duration = Duration::from_secs(15);

/// What keeps pods by a template.
pub(super) trait Templated: Cached + DeepMerge {
    fn pod_set(&self) -> PodSet<'_>;
}

/// The template, how many pods are wanted, and what was counted of them.
pub(super) struct PodSet<'a> {
    template: Option<&'a PodTemplateSpec>,
    replicas: i32,
    observed_generation: Option<i64>,
    updated: Option<i32>,
    serving: Option<i32>,
}

impl Templated for StatefulSet {
    fn pod_set(&self) -> PodSet<'_> {
        let (spec, status) = (self.spec.as_ref(), self.status.as_ref());
        PodSet {
            template: spec.map(|spec| &spec.template),
            replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            observed_generation: status.and_then(|status| status.observed_generation),
            updated: status.and_then(|status| status.updated_replicas),
            serving: status.and_then(|status| status.ready_replicas),
        }
    }
}

impl Templated for Deployment {
    fn pod_set(&self) -> PodSet<'_> {
        let (spec, status) = (self.spec.as_ref(), self.status.as_ref());
        PodSet {
            template: spec.map(|spec| &spec.template),
            replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            observed_generation: status.and_then(|status| status.observed_generation),
            updated: status.and_then(|status| status.updated_replicas),
            serving: status.and_then(|status| status.available_replicas),
        }
    }
}

/// Whether all pods are as the template says, and serve.
fn is_complete<K: Templated>(object: &K) -> bool {
    let pod_set = object.pod_set();
    let wanted = Some(pod_set.replicas);
    pod_set.observed_generation == object.meta().generation
        && pod_set.updated == wanted
        && pod_set.serving == wanted
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
        let template = serde_json::to_vec(&desired.pod_set().template).map_err(serialise)?;
        let digest = short_digest(&[&template]);
        let release = &self.pacing.release;
        desired
            .annotations_mut()
            .insert(TEMPLATE.to_owned(), format!("{release}/{digest}"));
        let Some(existing) = existing.filter(|existing| existing.pod_set().replicas > 0) else {
            return Ok(true);
        };
        let object = format!("{kind}/{}/{name}", self.identity.namespace);
        let written = existing.annotations().get(TEMPLATE);
        let same = match written.and_then(|written| written.rsplit_once('/')) {
            Some((by, _)) if by == release => true,
            Some((_, template)) => template == digest,
            // Of a release that did not tell.
            None => compare::difference(
                &existing.pod_set().template.cloned(),
                &desired.pod_set().template.cloned(),
            )
            .map_err(serialise)?
            .is_none(),
        };
        if same {
            if is_complete(existing) {
                self.pacing.give_back(&object);
            }
            return Ok(true);
        }
        if self.pacing.take(&object) {
            return Ok(true);
        }
        let mut hindrances = self.hindrances();
        hindrances.waits = true;
        hindrances.held_back = hindrances.held_back.into_iter().chain([AGAIN]).min();
        Ok(false)
    }
}
