//! The database's volumes: whether they hold the data from before, their size and their class.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::instances::Instances;
use super::invalid::Invalid;
use super::profile::defaults;
use crate::annotations::HOLDS;
use crate::crd::{DatabaseStatus, Profile, Storage};
use crate::identity::{Component, Ownership};
use crate::managed_fields::applies;
use crate::observed::Observed;
use crate::patroni::Cluster;
use crate::pods;
use crate::quantity::Quantity;

/// Whether the volumes hold the data that Patroni's state, and what the status says of the data, belong to.
///
/// One instance's claim is told from others by its uid. With several, the data are lost only with the last copy: claims
/// with one are marked with Patroni's system identifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VolumeIdentity {
    Same,
    /// No claim with the data of before is left.
    Replaced {
        /// Whether no pod is left that knows the one before.
        stopped: bool,
    },
}

impl VolumeIdentity {
    /// A claim that is not there says nothing: it may be back.
    pub(super) fn of(observed: &Observed, pinned: &DatabaseStatus, holders: &Holders) -> Self {
        let known = known(pinned);
        let first = observed.identity.claim(0);
        let uid = observed
            .claims
            .iter()
            .find(|claim| claim.name_any() == first)
            .and_then(|claim| claim.metadata.uid.as_ref());
        let is_lost = match (known, uid) {
            (Some(known), Some(uid)) => known != uid,
            // State that was kept, and whose volumes a person has removed since.
            (None, _) => holders.identifier_is_kept,
            (Some(_), None) => false,
        };
        if is_lost && holders.claims.is_empty() {
            Self::Replaced {
                stopped: stopped(observed),
            }
        } else {
            Self::Same
        }
    }
}

/// The claims with a copy of the data.
pub struct Holders {
    /// By name, with the system identifier.
    pub claims: BTreeMap<String, String>,
    /// Whether Patroni's state outlived the environment that it was made for.
    identifier_is_kept: bool,
}

impl Holders {
    /// Marked are the claims of several instances alone: a mark once made stays, also if somebody changes what Patroni
    /// has on record.
    pub(super) fn of(observed: &Observed, instances: Instances) -> Self {
        let identity = &observed.identity;
        let identifier = Cluster::of(identity, &observed.config_maps).identifier;
        let [config, ..] = identity.patroni_state();
        let state = observed.config_maps.iter().find(|map| map.name_any() == config);
        let is_retained = state.is_some_and(|map| identity.ownership(&map.metadata) == Ownership::Retained);
        let has_a_copy = |ordinal: u8| {
            let name = identity.postgres_pod(ordinal);
            let mut pods = pods::of(observed, Component::Postgres);
            pods.any(|pod| pod.name_any() == name && pods::is_ready(pod))
        };
        let claims = (0..instances.present).filter_map(|ordinal| {
            let name = identity.claim(ordinal);
            let claim = observed.claims.iter().find(|claim| claim.name_any() == name)?;
            let marked = claim.annotations().get(HOLDS).cloned();
            let copied = identifier
                .clone()
                .filter(|_| instances.replicated && has_a_copy(ordinal));
            Some((name, marked.or(copied)?))
        });
        Self {
            claims: claims.collect(),
            identifier_is_kept: identifier.is_some() && is_retained,
        }
    }
}

impl Holders {
    /// The system identifier of the data, as far as all marks agree.
    pub(super) fn identifier(&self) -> Option<String> {
        let mut marks = self.claims.values();
        let first = marks.next()?;
        marks.all(|mark| mark == first).then(|| first.clone())
    }
}

fn known(pinned: &DatabaseStatus) -> Option<&String> {
    pinned.storage.as_ref()?.claim_uid.as_ref()
}

/// Whether no database pod runs, by the pods and by their controller.
fn stopped(observed: &Observed) -> bool {
    let at_zero = |set: &StatefulSet| {
        let status = set.status.as_ref();
        set.spec.as_ref().and_then(|spec| spec.replicas) == Some(0)
            && status.is_some_and(|status| {
                status.replicas == 0 && status.observed_generation == set.metadata.generation
            })
    };
    pods::of(observed, Component::Postgres).next().is_none() && observed.stateful_set().is_none_or(at_zero)
}

/// What the `StatefulSet`'s template says of volumes, which cannot change when they grow.
#[derive(Clone, Debug)]
pub struct VolumeTemplate {
    pub size: Quantity,
    pub storage_class: Option<String>,
}

/// The volume's size and class. What exists is never asked to shrink, whatever a profile says.
pub fn storage(
    spec: &Storage,
    profile: Profile,
    pinned: &DatabaseStatus,
    claim: Option<&PersistentVolumeClaim>,
) -> Result<(Quantity, Option<String>), Invalid> {
    let parse = |text: &str| {
        Quantity::parse(text).ok_or_else(|| Invalid::Quantity {
            field: "database.storage.size",
            value: text.to_owned(),
            example: "1Gi",
        })
    };
    let claim_spec = claim.and_then(|claim| claim.spec.as_ref());
    let existing = claim_spec
        .and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"))
        .map(|quantity| quantity.0.as_str())
        .or_else(|| pinned.storage.as_ref().map(|storage| storage.size.as_str()));
    // Only a bound claim can grow.
    let bound = claim.is_none_or(|claim| {
        claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
    });
    let wanted = spec.size.as_deref().filter(|_| bound);
    let size = match (wanted, existing) {
        (Some(wanted), Some(existing)) => parse(wanted)?.max(parse(existing)?),
        (Some(size), None) | (None, Some(size)) => parse(size)?,
        (None, None) => parse(defaults(profile).volume)?,
    };
    // A claim keeps the class that it was made with; one that the cluster chose is left to it.
    let class = match (claim, claim_spec) {
        (Some(claim), Some(spec)) => spec
            .storage_class_name
            .clone()
            .filter(|_| applies(&claim.metadata, &["f:spec", "f:storageClassName"])),
        _ => spec.storage_class_name.clone(),
    };
    Ok((size, class))
}

pub fn template(observed: &Observed) -> Option<VolumeTemplate> {
    let template = observed
        .stateful_set()?
        .spec
        .as_ref()?
        .volume_claim_templates
        .as_ref()?
        .first()?
        .spec
        .as_ref()?;
    let size = template.resources.as_ref()?.requests.as_ref()?.get("storage")?;
    Some(VolumeTemplate {
        size: Quantity::parse(&size.0)?,
        storage_class: template.storage_class_name.clone(),
    })
}
