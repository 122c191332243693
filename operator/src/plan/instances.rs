//! How many database instances are to run, and what a commit waits for where there are several.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::profile::defaults;
use crate::annotations::HOLDS;
use crate::crd::{DatabaseStatus, Durability};
use crate::identity::Component;
use crate::observed::Observed;
use crate::pods;

/// The most that a specification may ask for.
const MOST: u8 = 3;

/// The instances of a database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Instances {
    /// How many are to run.
    pub wanted: u8,
    /// How many ordinals are in use, wanted or not yet gone, by a pod or by a copy of the data: at least `wanted`.
    pub present: u8,
    /// What a commit waits for; nothing with one instance.
    pub durability: Durability,
    /// Whether commits wait for standbys: also while the last ones that are not wanted any more are there, as one of
    /// them may be the primary, or become it.
    pub replicated: bool,
}

impl Instances {
    pub(super) fn of(observed: &Observed, pinned: &DatabaseStatus) -> Self {
        let spec = &observed.environment.spec;
        let wanted = spec
            .database
            .instances
            .or(Some(pinned.instances).filter(|pinned| *pinned > 0))
            .and_then(|instances| u8::try_from(instances).ok())
            .or_else(|| replicas(observed).filter(|replicas| *replicas > 0))
            .unwrap_or(defaults(spec.profile).instances)
            .clamp(1, MOST);
        let running = pods::of(observed, Component::Postgres).filter_map(|pod| ordinal(observed, pod));
        let by_pods = running.max().map_or(0, |highest| highest + 1);
        let by_controller = replicas(observed).unwrap_or(0);
        let by_copies = copies(observed);
        let stays = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none();
        let others_stay = pods::of(observed, Component::Postgres)
            .filter(stays)
            .filter_map(|pod| ordinal(observed, pod))
            .any(|ordinal| ordinal > 0);
        Self {
            wanted,
            present: wanted.max(by_pods).max(by_controller).max(by_copies).min(MOST),
            durability: spec.database.durability.unwrap_or(match wanted {
                0..=2 => Durability::Preferred,
                3.. => Durability::Required,
            }),
            replicated: wanted > 1
                || by_controller > 1
                || others_stay
                // Nothing runs: of the copies that are there, any may be the one with all data.
                || (by_copies > 1 && by_controller == 0),
        }
    }
}

/// How many pods the `StatefulSet` is to have now.
fn replicas(observed: &Observed) -> Option<u8> {
    let spec = observed.stateful_set()?.spec.as_ref()?;
    u8::try_from(spec.replicas?).ok()
}

/// How many ordinals have a claim with a copy of the data.
fn copies(observed: &Observed) -> u8 {
    let has_copy = |ordinal: &u8| {
        let name = observed.identity.claim(*ordinal);
        let mut claims = observed.claims.iter();
        claims.any(|claim| claim.name_any() == name && claim.annotations().contains_key(HOLDS))
    };
    (0..MOST).filter(has_copy).max().map_or(0, |highest| highest + 1)
}

/// The ordinal of a database pod.
fn ordinal(observed: &Observed, pod: &Pod) -> Option<u8> {
    let name = pod.name_any();
    (0..MOST).find(|ordinal| name == observed.identity.postgres_pod(*ordinal))
}
