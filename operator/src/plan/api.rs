//! The API as it is to be: its image, how many pods run, and how they are replaced.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::activity::Activity;
use super::autoscaling::Scale;
use super::invalid::Invalid;
use super::jobs::{Migration, Seeding};
use super::pods::Metadata;
use super::profile::{Disruption, defaults};
use super::resources::Resources;
use super::revision::{Rolling, RolloutPlan};
use crate::crd::{ApiStatus, Config, RatesEnvironmentSpec};
use crate::observed::Observed;
use crate::settings::Images;

/// How long a request may wait where the spec does not say; the API's own default.
const REQUEST_SECONDS: i32 = 15;
/// From a request's deadline to its answer's last byte, and from the server's own hard deadline to
/// the kubelet's.
const MARGIN_SECONDS: i32 = 5;

#[derive(Clone, Debug)]
pub struct ApiPlan {
    /// The image that is to run.
    pub image: String,
    /// The operator's default for this environment.
    pub default_image: String,
    pub rollout: RolloutPlan,
    pub scale: Scale,
    pub drain: Drain,
    /// How many pods a rollout adds.
    pub max_surge: IntOrString,
    pub disruption: Disruption,
    /// Whether the pods are spread over zones too.
    pub zones: bool,
    pub pod_metadata: Metadata,
    pub service_metadata: Metadata,
}

/// How a pod ends: it serves on while the proxies learn of it, then finishes what it has begun.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Drain {
    pub propagation_seconds: i32,
    pub max_batch_seconds: i32,
}

impl Drain {
    /// From SIGTERM until the server ends what is still open. A batch takes its own time, and
    /// before and after that waits for the database as any request.
    #[must_use]
    pub fn server_seconds(self, config: &Config) -> i32 {
        let request = config.request_timeout_seconds.unwrap_or(REQUEST_SECONDS);
        self.max_batch_seconds
            .saturating_add(request)
            .saturating_add(MARGIN_SECONDS)
    }

    /// From the wish that a pod end until the kubelet kills it. Propagation is a part of it.
    #[must_use]
    pub fn grace_seconds(self, config: &Config) -> i32 {
        self.propagation_seconds
            .saturating_add(self.server_seconds(config))
            .saturating_add(MARGIN_SECONDS)
    }
}

/// The image that is to run, and the operator's default for this environment.
pub(super) fn images(observed: &Observed, pinned: Option<&ApiStatus>, images: &Images) -> (String, String) {
    let default = pinned
        .and_then(|api| api.default_image.clone())
        .filter(|_| !observed.follows_images())
        .unwrap_or_else(|| images.api.clone());
    let image = observed.environment.spec.api.image.clone();
    (image.unwrap_or_else(|| default.clone()), default)
}

/// What the specification asks for, where it does; also while pods of an earlier one run.
pub(super) fn own_resources(spec: &RatesEnvironmentSpec) -> Result<Option<Resources>, Invalid> {
    let amounts = defaults(spec.profile).api;
    let own = spec.api.resources.as_ref();
    own.map(|own| Resources::of(Some(own), "api.resources", &amounts))
        .transpose()
}

impl ApiPlan {
    pub(super) fn plan(
        observed: &Observed,
        (image, default_image): (String, String),
        pinned: Option<&ApiStatus>,
        activity: Activity,
        (seeding, migration): (&Seeding, &Migration),
        now: Timestamp,
    ) -> Result<Self, Invalid> {
        let environment = &observed.environment.spec;
        let spec = &environment.api;
        let defaults = defaults(environment.profile);
        let rolling = Rolling {
            observed,
            image: &image,
            pinned,
            activity,
            seeding,
            migration,
            now,
            defaults: &defaults.api,
        };
        Ok(Self {
            rollout: rolling.rollout()?,
            image,
            default_image,
            scale: match activity {
                Activity::Running | Activity::Waking => Scale::of(spec, &defaults),
                Activity::Stopping | Activity::Stopped | Activity::Resuming => Scale::Fixed(0),
            },
            drain: Drain {
                propagation_seconds: spec.rollout.propagation_seconds,
                max_batch_seconds: spec
                    .rollout
                    .max_batch_seconds
                    .unwrap_or(defaults.max_batch_seconds),
            },
            max_surge: spec.rollout.max_surge.clone(),
            disruption: defaults.disruption,
            zones: defaults.zones,
            pod_metadata: Metadata::of(spec.pod_metadata.as_ref(), "api.podMetadata")?,
            service_metadata: Metadata::of(spec.service_metadata.as_ref(), "api.serviceMetadata")?,
        })
    }
}
