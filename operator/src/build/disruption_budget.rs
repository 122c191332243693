//! The API's disruption budget: one pod at a time, which also lets a single pod go, so that no
//! drain waits for ever, and all of them where nobody counts on it; a pod that does not work is
//! never in the way.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::identity::Component;
use crate::plan::{Disruption, Environment};

pub fn build(environment: &Environment) -> PodDisruptionBudget {
    let identity = &environment.identity;
    let at_once = match environment.api.disruption {
        Disruption::One => IntOrString::Int(1),
        Disruption::All => IntOrString::String("100%".to_owned()),
    };
    PodDisruptionBudget {
        metadata: identity.metadata(identity.api(), Component::Api),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(at_once),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            selector: Some(LabelSelector {
                match_labels: Some(identity.selector(Component::Api)),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
