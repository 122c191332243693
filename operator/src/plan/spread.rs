//! Whether the database's instances share nodes and zones.

use k8s_openapi::api::core::v1::{Affinity, PodAffinityTerm, WeightedPodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::instances::Instances;
use super::profile::Defaults;
use crate::identity::{Component, Identity};
use crate::observed::Observed;

const NODE: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Where the instances run, seen from each other. Zones are only preferred: where there are none, or fewer than
/// instances, another node is what counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spread {
    /// There is one instance.
    Nothing,
    /// On different nodes where that is possible.
    Preferred,
    /// Never on one node.
    Required,
}

impl Spread {
    /// What the pods of a single instance have from the time when there were more stays: to take it out would restart
    /// the database.
    pub(super) fn of(observed: &Observed, instances: Instances, defaults: &Defaults) -> Self {
        match (instances.wanted, defaults.separate_nodes) {
            (0 | 1, _) => Self::in_template(observed),
            (_, true) => Self::Required,
            (_, false) => Self::Preferred,
        }
    }

    fn in_template(observed: &Observed) -> Self {
        let template = observed
            .stateful_set()
            .and_then(|set| set.spec.as_ref()?.template.spec.as_ref()?.affinity.as_ref());
        let found = template.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let Some(found) = found else {
            return Self::Nothing;
        };
        let ours = term(&observed.identity, NODE);
        let required = found.required_during_scheduling_ignored_during_execution.as_ref();
        let preferred = found
            .preferred_during_scheduling_ignored_during_execution
            .as_ref();
        if required.is_some_and(|terms| terms.contains(&ours)) {
            Self::Required
        } else if preferred.is_some_and(|terms| terms.iter().any(|term| term.pod_affinity_term == ours)) {
            Self::Preferred
        } else {
            Self::Nothing
        }
    }

    /// A person's affinity, and the instances' own with it.
    #[must_use]
    pub fn beside(self, theirs: Option<Affinity>, identity: &Identity) -> Option<Affinity> {
        let preferred = |weight, key| WeightedPodAffinityTerm {
            weight,
            pod_affinity_term: term(identity, key),
        };
        let (required, preferred) = match self {
            Self::Nothing => return theirs,
            Self::Preferred => (Vec::new(), vec![preferred(100, NODE), preferred(50, ZONE)]),
            Self::Required => (vec![term(identity, NODE)], vec![preferred(100, ZONE)]),
        };
        let mut affinity = theirs.unwrap_or_default();
        let apart = affinity.pod_anti_affinity.get_or_insert_default();
        if !required.is_empty() {
            apart
                .required_during_scheduling_ignored_during_execution
                .get_or_insert_default()
                .extend(required);
        }
        apart
            .preferred_during_scheduling_ignored_during_execution
            .get_or_insert_default()
            .extend(preferred);
        Some(affinity)
    }
}

/// A place of which each instance wants another.
fn term(identity: &Identity, key: &str) -> PodAffinityTerm {
    PodAffinityTerm {
        label_selector: Some(LabelSelector {
            match_labels: Some(identity.selector(Component::Postgres)),
            ..LabelSelector::default()
        }),
        topology_key: key.to_owned(),
        ..PodAffinityTerm::default()
    }
}
