//! The API as the status shows it, and what became of its rollouts.

use k8s_openapi::api::apps::v1::Deployment;

use super::conditions::Said;
use super::progress::Pods;
use crate::crd::{ApiStatus, AutoscalingStatus};
use crate::identity::Component;
use crate::plan::{Environment, Revision, RolloutPlan, Scale, revision_of_template};
use crate::reason::Reason;

/// That a rollout failed and was taken back.
pub fn taken_back(environment: &Environment) -> Option<Said> {
    let RolloutPlan {
        failed: Some(failed),
        revision: Some(working),
    } = &environment.api.rollout
    else {
        return None;
    };
    let (image, working) = (&environment.api.image, &working.written.image);
    let what = if image == working {
        "the new config, env or resources of the API do not work and were taken back".to_owned()
    } else {
        format!("{image} does not work and {working} was put back")
    };
    Some(Said::no(
        Reason::RolledBack,
        format!(
            "{what}, until spec.api changes; {}: {}",
            failed.reason, failed.message
        ),
    ))
}

pub fn api(
    environment: &Environment,
    deployment: Option<&Deployment>,
    counts: Pods,
    previous: Option<&ApiStatus>,
) -> ApiStatus {
    let api = &environment.api;
    let RolloutPlan { revision, failed } = &api.rollout;
    let config = revision.as_ref().map(|revision| &revision.written.config);
    let complete = |revision: &&Revision| {
        counts.rolled_out && deployment.and_then(revision_of_template) == Some(revision.digest.as_str())
    };
    let last_complete = revision
        .as_ref()
        .filter(complete)
        .map(|revision| &revision.written);
    ApiStatus {
        image: Some(api.image.clone()),
        default_image: Some(api.default_image.clone()),
        replicas: counts.total,
        ready_replicas: counts.ready,
        updated_replicas: counts.updated,
        autoscaling: match &api.scale {
            Scale::Automatic(autoscaler) => Some(AutoscalingStatus {
                min_replicas: autoscaler.min,
                max_replicas: autoscaler.max,
            }),
            Scale::Fixed(_) => None,
        },
        resources: revision.as_ref().map(|revision| revision.resources.shown()),
        selector: Some(environment.identity.selector_text(Component::Api)),
        drain_budget_seconds: config.map(|config| api.drain.grace_seconds(config)),
        revision: revision.as_ref().map(|revision| revision.written.clone()),
        last_complete_revision: last_complete
            .or(previous.and_then(|api| api.last_complete_revision.as_ref()))
            .cloned(),
        failed_rollout: failed.clone(),
    }
}
