//! The API as it is to be: its image, how many pods run, how they are replaced, and what they may use.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::EnvVar;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::profile::{Disruption, defaults};
use super::{Activity, Invalid, Migration, Resources, Scale, Seeding, follows_images, variables};
use crate::crd::ApiStatus;
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
    /// Settings and variables that the spec sets.
    pub variables: Vec<EnvVar>,
    /// How many pods a rollout adds.
    pub max_surge: IntOrString,
    pub disruption: Disruption,
    /// Whether the pods are spread over zones too.
    pub zones: bool,
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
        activity: Activity,
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
            scale: match activity {
                Activity::Running => Scale::of(spec, &defaults),
                Activity::Suspending | Activity::Suspended | Activity::Resuming => Scale::Fixed(0),
            },
            propagation_seconds,
            drain_seconds: DRAIN_SECONDS,
            grace_seconds: propagation_seconds + DRAIN_SECONDS + MARGIN_SECONDS,
            resources: Resources::of(spec.resources.as_ref(), "api.resources", &defaults.api)?,
            variables: variables::of(spec),
            max_surge: spec.rollout.max_surge.clone(),
            disruption: defaults.disruption,
            zones: defaults.zones,
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
