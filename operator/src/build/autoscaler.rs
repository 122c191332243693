//! The autoscaler, which owns the number of API pods where there is one.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec,
};

use crate::identity::Component;
use crate::plan::{Environment, Scale};

pub fn build(environment: &Environment) -> Option<HorizontalPodAutoscaler> {
    let Scale::Automatic(autoscaler) = &environment.api.scale else {
        return None;
    };
    // Nothing to scale before.
    environment.api.rollout.revision.as_ref()?;
    let identity = &environment.identity;
    Some(HorizontalPodAutoscaler {
        metadata: identity.metadata(identity.api(), Component::Api),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: identity.api(),
            },
            min_replicas: Some(autoscaler.min),
            max_replicas: autoscaler.max,
            metrics: Some(autoscaler.metrics.clone()),
            behavior: Some(autoscaler.behavior.clone()),
        }),
        ..HorizontalPodAutoscaler::default()
    })
}
