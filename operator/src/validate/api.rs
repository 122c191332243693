//! The API as it is to be: its image, how many pods run, how they are replaced, and what they may use.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use super::profile::defaults;
use super::{Invalid, Migration, Resources, Seeding, follows_images};
use crate::crd::{Api, ApiStatus, Autoscaling};
use crate::dereference::Observed;
use crate::settings::Images;

/// The request timeout of the API and a little more: what a pod has to finish its requests.
const DRAIN_SECONDS: i32 = 20;
/// Between the server's own hard deadline and the kubelet's.
const MARGIN_SECONDS: i32 = 5;

#[derive(Clone, Debug)]
pub struct ApiPlan {
    /// The image that is to run.
    pub image: String,
    /// The operator's default for this environment.
    pub default_image: String,
    /// The image that runs: until the new one's migrations are done, the old one; `None`: no Deployment yet.
    pub rollout_image: Option<String>,
    pub scale: Scale,
    pub propagation_seconds: i32,
    pub drain_seconds: i32,
    pub grace_seconds: i32,
    pub resources: Resources,
}

/// Who decides how many API pods run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scale {
    Fixed(i32),
    Automatic { min: i32, max: i32, cpu_percent: i32 },
}

/// The image that is to run, and the operator's default for this environment.
pub(super) fn images(observed: &Observed, pinned: Option<&ApiStatus>, images: &Images) -> (String, String) {
    let default = pinned
        .and_then(|api| api.default_image.clone())
        .filter(|_| !follows_images(observed))
        .unwrap_or_else(|| images.api.clone());
    let image = observed.environment.spec.api.image.clone();
    (image.unwrap_or_else(|| default.clone()), default)
}

impl ApiPlan {
    pub(super) fn plan(
        observed: &Observed,
        image: String,
        default_image: String,
        (seeding, migration): (&Seeding, &Migration),
    ) -> Result<Self, Invalid> {
        let environment = &observed.environment.spec;
        let spec = &environment.api;
        let defaults = defaults(environment.profile);
        let rollout_image = match migration {
            Migration::Done(_) => Some(image.clone()),
            Migration::Waiting | Migration::Run { .. } => {
                running_image(observed).or_else(|| loads_soon(seeding).then(|| image.clone()))
            }
        };
        let propagation_seconds = spec.rollout.propagation_seconds;
        Ok(Self {
            image,
            default_image,
            rollout_image,
            scale: scale(spec, defaults.replicas),
            propagation_seconds,
            drain_seconds: DRAIN_SECONDS,
            grace_seconds: propagation_seconds + DRAIN_SECONDS + MARGIN_SECONDS,
            resources: Resources::of(spec.resources.as_ref(), "api.resources", &defaults.api)?,
        })
    }
}

/// Whether the first pods may start beside the load, and wait for the tables: they are not ready
/// before, and start by the time that the data are there. A Job that runs for long is waited for.
fn loads_soon(seeding: &Seeding) -> bool {
    match seeding {
        Seeding::Run { source, run } => run.attempt == 1 && source.is_small(),
        Seeding::Done(_) | Seeding::Waiting(_) | Seeding::Blocked(_) | Seeding::Failed { .. } => false,
    }
}

fn scale(spec: &Api, replicas: i32) -> Scale {
    match &spec.autoscaling {
        Some(Autoscaling {
            min_replicas,
            max_replicas,
            target_cpu_utilization_percentage,
        }) => Scale::Automatic {
            min: min_replicas.unwrap_or(replicas).min(*max_replicas),
            max: *max_replicas,
            cpu_percent: *target_cpu_utilization_percentage,
        },
        None => Scale::Fixed(spec.replicas.unwrap_or(replicas)),
    }
}

fn running_image(observed: &Observed) -> Option<String> {
    let named = |deployment: &&Deployment| deployment.name_any() == observed.identity.api();
    let pod = observed
        .deployments
        .iter()
        .find(named)?
        .spec
        .as_ref()?
        .template
        .spec
        .as_ref()?;
    pod.containers.first()?.image.clone()
}
