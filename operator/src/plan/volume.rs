//! The database's volume: whether it is the one from before, its size and its class.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::invalid::Invalid;
use super::profile::defaults;
use crate::crd::{DatabaseStatus, Profile, Storage};
use crate::identity::Component;
use crate::managed_fields::applies;
use crate::observed::Observed;
use crate::pods;
use crate::quantity::Quantity;

/// Whether the volume is the one that Patroni's state, and what the status says of the data, belong to.
///
/// One instance's claim is told from others by its uid. With several, the identity of the data is Patroni's system
/// identifier: a lost claim is then no new database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VolumeIdentity {
    Same,
    /// The claim is another one than before.
    Replaced {
        /// Whether no pod is left that knows the one before.
        stopped: bool,
    },
}

impl VolumeIdentity {
    /// A claim that is not there says nothing: it may be back.
    pub(super) fn of(
        observed: &Observed,
        pinned: &DatabaseStatus,
        claim: Option<&PersistentVolumeClaim>,
    ) -> Self {
        let known = pinned
            .storage
            .as_ref()
            .and_then(|storage| storage.claim_uid.as_ref());
        match (known, claim.and_then(|claim| claim.metadata.uid.as_ref())) {
            (Some(known), Some(uid)) if known != uid => Self::Replaced {
                stopped: stopped(observed),
            },
            _ => Self::Same,
        }
    }
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
