//! How many pods of a part a drain of nodes may take at once.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::identity::Component;
use crate::plan::Environment;

/// Of the database, where there is more than one instance: one at a time.
pub fn of_the_database(environment: &Environment) -> Option<PodDisruptionBudget> {
    let name = environment.identity.postgres();
    let budget = || build(environment, name, Component::Postgres, IntOrString::Int(1));
    (environment.database.instances.wanted > 1).then(budget)
}

/// One pod at a time also lets a single pod go, so that no drain waits for ever, and all of them go where nobody counts
/// on it; a pod that does not work is never in the way.
pub fn build(
    environment: &Environment,
    name: String,
    component: Component,
    at_once: IntOrString,
) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: environment.identity.metadata(name, component),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(at_once),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            selector: Some(LabelSelector {
                match_labels: Some(environment.identity.selector(component)),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
