//! Fewer instances: which pods stay until the primary has moved, and which volumes then go.

use kube::ResourceExt;

use super::view::{View, ordinal_of};
use crate::observed::Observed;

/// How many pods are to be kept: those that are wanted, and until the primary is among them the others too.
///
/// Also after a time without any pods, all that have a copy of the data start: any of them may be the one with everything.
#[must_use]
pub fn kept(observed: &Observed, view: &View<'_>, (wanted, present): (u8, u8)) -> u8 {
    let prefix = observed.identity.postgres();
    let led = [&view.leader_key.holder, &view.cluster.synchronised_with];
    let led = led
        .into_iter()
        .flatten()
        .filter_map(|name| ordinal_of(&prefix, name))
        .filter(|ordinal| has_data(observed, *ordinal))
        .map(|ordinal| ordinal.saturating_add(1))
        .max();
    let needed = led.unwrap_or(0).max(wanted);
    if view.primary().is_some() {
        return needed;
    }
    // None goes while nobody is known to have what it has.
    let spec = observed.stateful_set().and_then(|set| set.spec.as_ref());
    let replicas = spec.and_then(|spec| u8::try_from(spec.replicas?).ok());
    let there = replicas.filter(|replicas| *replicas > 0).unwrap_or(present);
    needed.max(there)
}

fn has_data(observed: &Observed, ordinal: u8) -> bool {
    let claim = observed.identity.claim(ordinal);
    observed.claims.iter().any(|found| found.name_any() == claim)
}

/// A claim that is to go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leftover {
    pub claim: String,
    pub uid: String,
}

/// The claims of instances that are gone and not wanted any more: only where the primary is one that stays.
#[must_use]
pub fn leftovers(observed: &Observed, view: &View<'_>, wanted: u8) -> Vec<Leftover> {
    let stays = view.primary().is_some_and(|primary| primary.ordinal < wanted);
    let set = observed.stateful_set();
    let is_scaled = set.is_some_and(|set| {
        let replicas = set.spec.as_ref().and_then(|spec| spec.replicas);
        let seen = set.status.as_ref().and_then(|status| status.observed_generation);
        replicas == Some(i32::from(wanted)) && seen == set.metadata.generation
    });
    if !stays || !is_scaled {
        return Vec::new();
    }
    let prefix = format!("data-{}", observed.identity.postgres());
    let made = observed.environment.creation_timestamp();
    observed
        .claims
        .iter()
        .filter(|claim| claim.metadata.deletion_timestamp.is_none())
        // Retained of an environment before this one: nobody knows what is in it alone.
        .filter(|claim| claim.creation_timestamp() >= made)
        .filter_map(|claim| {
            let name = claim.name_any();
            let ordinal = ordinal_of(&prefix, &name).filter(|ordinal| *ordinal >= wanted)?;
            let has_pod = view.instances.iter().any(|instance| instance.ordinal == ordinal);
            (!has_pod).then(|| Leftover {
                claim: name,
                uid: claim.uid().unwrap_or_default(),
            })
        })
        .collect()
}
