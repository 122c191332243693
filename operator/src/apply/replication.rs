//! Carries out what was decided about the instances of a database. Each write names what it was decided by: the version of
//! a key, the uid of a pod or a volume.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::corrections::Corrections;
use super::error::{Error, write_error};
use super::pacing::Pacing;
use super::writer::Writer;
use crate::annotations::{PATRONI_LEADER, PATRONI_MEMBER, REPLICATION_ACT};
use crate::cache::{Cache, Cached};
use crate::crd::RatesEnvironment;
use crate::identity::{MANAGER, ROLE_LABEL};
use crate::observed::Observed;
use crate::patroni_keys::{LeaderKey, Order};
use crate::plan::replication::{DeadLeader, Leftover, Step, dead_leader, former_primaries};

/// Does what cannot wait for anything else: gives up the leader key of an instance that died, and takes the primary's label
/// from the pods that are it no more. Gives how much was written, and what could not be.
pub async fn relieve(
    client: &Client,
    cache: &Cache,
    (corrections, pacing): (&Corrections, &Pacing),
    observed: &Observed,
) -> (u32, Option<Error>) {
    let writer = Writer::new(client, cache, (corrections, pacing), &observed.identity);
    let dead = dead_leader(observed);
    let former = former_primaries(observed);
    let given_up = match dead {
        Some(dead) => writer.give_up(dead).await,
        None => Ok(()),
    };
    let unlabelled = if former.is_empty() {
        Ok(())
    } else {
        writer.unlabel(&former, observed).await
    };
    let (number, _) = writer.finish();
    (number, given_up.err().or(unlabelled.err()))
}

/// Removes annotations of the environment that asked for what is done. Gives how much was written, and what could not be.
pub async fn remove_annotations(
    client: &Client,
    cache: &Cache,
    (corrections, pacing): (&Corrections, &Pacing),
    observed: &Observed,
    annotations: &[&str],
) -> (u32, Option<Error>) {
    if annotations.is_empty() {
        return (0, None);
    }
    let writer = Writer::new(client, cache, (corrections, pacing), &observed.identity);
    let done = writer.remove_annotations(observed, annotations).await;
    let (number, _) = writer.finish();
    (number, done.err())
}

/// Carries out one step. Gives how much was written, and what could not be.
pub async fn carry_out(
    client: &Client,
    cache: &Cache,
    (corrections, pacing): (&Corrections, &Pacing),
    observed: &Observed,
    step: &Step,
) -> (u32, Option<Error>) {
    let writer = Writer::new(client, cache, (corrections, pacing), &observed.identity);
    let done = writer.step(observed, step).await;
    let (number, _) = writer.finish();
    (number, done.err())
}

impl Writer<'_> {
    async fn give_up(&self, dead: DeadLeader) -> Result<(), Error> {
        let DeadLeader {
            holder,
            resource_version,
            why,
        } = dead;
        let [_, name, ..] = self.identity.patroni_state();
        let patch = json!({"metadata": {
            "resourceVersion": resource_version,
            "annotations": {PATRONI_LEADER: null},
        }});
        let is_done = self.change::<ConfigMap>(&name, &Patch::Merge(patch)).await?;
        tracing::warn!(
            holder,
            why,
            is_done,
            "the leader key of an instance that died is given up"
        );
        Ok(())
    }

    /// Whoever holds the leader key is asked for once more: pods and keys are watched beside each other, so that what is
    /// held of the one may be older than of the other.
    async fn unlabel(&self, pods: &[&Pod], observed: &Observed) -> Result<(), Error> {
        let [_, name, ..] = self.identity.patroni_state();
        let found = self.api::<ConfigMap>().get_opt(&name).await;
        let found = found.map_err(|source| write_error::<ConfigMap>(&name, source))?;
        let key = LeaderKey::of(&observed.identity, found.as_slice());
        let Some(holder) = key.holder else {
            return Ok(());
        };
        for pod in pods.iter().filter(|pod| pod.name_any() != holder) {
            let patch = json!({"metadata": {
                "uid": pod.uid(),
                "resourceVersion": pod.resource_version(),
                "labels": {ROLE_LABEL: null},
            }});
            let name = pod.name_any();
            self.change::<Pod>(&name, &Patch::Merge(patch)).await?;
            tracing::warn!(name, holder, "a pod is the primary no more, and loses its label");
        }
        Ok(())
    }

    async fn step(&self, observed: &Observed, step: &Step) -> Result<(), Error> {
        match step {
            Step::Begin { act, gives_order, .. } => {
                let (from, to) = (act.from.as_ref(), act.to.as_ref());
                // Patroni takes an order without a primary to be relieved for one to promote in any case.
                let from = from.filter(|_| !act.is_forced());
                let order = if *gives_order {
                    json!({PATRONI_LEADER: from, PATRONI_MEMBER: to, REPLICATION_ACT: act.note()})
                } else {
                    json!({REPLICATION_ACT: act.note()})
                };
                self.order(observed, &order).await
            }
            Step::End { annotation, .. } => {
                // First, or the same would be asked for again.
                if let Some((annotation, _)) = annotation
                    && !self.remove_annotations(observed, &[annotation]).await?
                {
                    return Ok(());
                }
                let order = Order::of(&observed.identity, &observed.config_maps);
                if order.act.is_none() {
                    return Ok(());
                }
                let none = json!({PATRONI_LEADER: null, PATRONI_MEMBER: null, REPLICATION_ACT: null});
                self.order(observed, &none).await
            }
            Step::DeletePod { pod, uid, force, why } => {
                tracing::info!(pod, force, why, "a pod of the database is deleted");
                self.remove::<Pod>(observed.pods.as_slice(), pod, uid, *force)
                    .await
            }
            Step::DeleteClaim { claim, uid } => {
                tracing::info!(claim, "a volume is deleted, to be replaced");
                self.remove::<PersistentVolumeClaim>(&observed.claims, claim, uid, false)
                    .await
            }
        }
    }

    /// Writes to the key with Patroni's orders, if it still is as it was read.
    async fn order(&self, observed: &Observed, annotations: &serde_json::Value) -> Result<(), Error> {
        let [_, _, name, _] = self.identity.patroni_state();
        let read = Order::of(&observed.identity, &observed.config_maps);
        let patch = json!({"metadata": {
            "resourceVersion": read.resource_version,
            "annotations": annotations,
        }});
        self.change::<ConfigMap>(&name, &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Removes annotations of the environment, if that still is as it was read.
    async fn remove_annotations(&self, observed: &Observed, annotations: &[&str]) -> Result<bool, Error> {
        let environment = &observed.environment;
        let none: BTreeMap<&str, Option<&str>> =
            annotations.iter().map(|annotation| (*annotation, None)).collect();
        let patch = json!({"metadata": {
            "uid": environment.uid(),
            "resourceVersion": environment.resource_version(),
            "annotations": none,
        }});
        self.change::<RatesEnvironment>(&self.identity.name, &Patch::Merge(patch))
            .await
    }

    /// Removes the volumes of instances that are gone.
    pub(super) async fn remove_leftovers(
        &self,
        leftovers: &[Leftover],
        observed: &Observed,
    ) -> Result<(), Error> {
        for Leftover { claim, uid } in leftovers {
            self.remove::<PersistentVolumeClaim>(&observed.claims, claim, uid, false)
                .await?;
        }
        Ok(())
    }

    /// Changes an object; false if it is gone, or another one or another version than the patch names.
    async fn change<K: Cached>(
        &self,
        name: &str,
        patch: &Patch<impl serde::Serialize + std::fmt::Debug>,
    ) -> Result<bool, Error> {
        let parameters = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let changed = self.api::<K>().patch(name, &parameters, patch).await;
        self.count();
        match changed {
            Ok(changed) => {
                self.cache.put(&changed);
                Ok(true)
            }
            // The watch tells what it is now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
            Err(source) => Err(write_error::<K>(name, source)),
        }
    }

    async fn remove<K: Cached>(
        &self,
        existing: &[K],
        name: &str,
        uid: &str,
        force: bool,
    ) -> Result<(), Error> {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            grace_period_seconds: force.then_some(0),
            ..DeleteParams::background()
        };
        let deleted = self.api::<K>().delete(name, &parameters).await;
        self.count();
        match deleted {
            Ok(answer) => {
                let object = existing.iter().find(|object| object.name_any() == name);
                if let Some(object) = object {
                    self.cache.deleted(object, answer.left().as_ref());
                }
                Ok(())
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(source) => Err(write_error::<K>(name, source)),
        }
    }
}
