//! Has the kubelets put a Secret that was made anew, or changed, into the pods that are older than that.
//!
//! A deleted Secret is the answer to a leak. A kubelet looks at a pod's Secrets again within a minute or two by itself,
//! and at once when an annotation of the pod changes.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::error::{Error, write_error};
use super::writer::Writer;
use crate::annotations::REFRESHED_FOR;
use crate::credentials::{COPIES, REPLICATION_ROTATION};
use crate::digest::short_digest;
use crate::identity::Component;
use crate::observed::Observed;
use crate::password::value;
use crate::pods::job_outcome::has_ended;

impl Writer<'_> {
    /// Annotates the pods that are older than a Secret of theirs, once for each.
    pub(super) async fn refresh_secrets(&self, observed: &Observed) -> Result<(), Error> {
        for pod in observed.pods.iter().filter(|pod| !has_ended(pod)) {
            let changed = rotated(pod, observed).into_iter().chain(copies(pod, observed));
            let Some(mark) = mark(pod, &mounted(pod, observed), changed) else {
                continue;
            };
            let name = pod.name_any();
            let patch = Patch::Merge(json!({"metadata": {"annotations": {REFRESHED_FOR: mark}}}));
            let patched = self
                .api::<Pod>()
                .patch(&name, &PatchParams::default(), &patch)
                .await;
            self.count();
            match patched {
                Ok(pod) => self.cache.put(&pod),
                // It is gone, and the next one has the Secrets of now.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(source) => return Err(write_error::<Pod>(&name, source)),
            }
            tracing::info!(kind = "Pod", name, "refreshed for a Secret that was made anew");
        }
        Ok(())
    }
}

/// The Secrets that a pod mounts.
fn mounted<'a>(pod: &Pod, observed: &'a Observed) -> Vec<&'a Secret> {
    let app = &observed.app_secret;
    let secrets = match Component::of(pod) {
        // The password of the Jobs' login is in the admin Secret, too.
        Some(Component::Postgres) => [app, &observed.admin_secret, &observed.migrator_secret],
        Some(part) if !part.is_a_job() => [app, &observed.token_secret, &None],
        _ => [app, &observed.migrator_secret, &None],
    };
    secrets.into_iter().flatten().collect()
}

/// Of a database pod: the last rotation of the replication's password, where the pod is older.
fn rotated(pod: &Pod, observed: &Observed) -> Option<String> {
    let rotation = value(observed.admin_secret.as_ref(), REPLICATION_ROTATION)?;
    let at: Timestamp = rotation.split_once(' ')?.1.parse().ok()?;
    let is_older = pod.creation_timestamp().is_some_and(|made| made.0 <= at);
    (is_older && Component::Postgres.is_of(pod)).then_some(rotation)
}

/// Of a database pod: the logins that copy the data, which it makes and removes.
fn copies(pod: &Pod, observed: &Observed) -> Option<String> {
    let copies = value(observed.admin_secret.as_ref(), COPIES);
    copies.filter(|_| Component::Postgres.is_of(pod))
}

/// What to annotate a pod with, unless it is younger than its Secrets, or annotated so already. One that was annotated
/// for what is no longer in a Secret is annotated once more.
fn mark(pod: &Pod, secrets: &[&Secret], changed: impl Iterator<Item = String>) -> Option<String> {
    let made = pod.creation_timestamp()?;
    let anew: Vec<String> = secrets
        .iter()
        .filter(|secret| secret.creation_timestamp().is_some_and(|time| time > made))
        .filter_map(|secret| secret.uid())
        .chain(changed)
        .collect();
    let parts: Vec<&[u8]> = anew.iter().map(String::as_bytes).collect();
    let mark = short_digest(&parts);
    match pod.annotations().get(REFRESHED_FOR) {
        Some(known) => (*known != mark).then_some(mark),
        None => (!anew.is_empty()).then_some(mark),
    }
}
