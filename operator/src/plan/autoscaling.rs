//! How many API pods run, and who decides: the spec's number, its autoscaler, or the profile's.

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, CrossVersionObjectReference, ExternalMetricSource, HPAScalingPolicy,
    HPAScalingRules, HorizontalPodAutoscalerBehavior, MetricIdentifier, MetricSpec, MetricTarget,
    ObjectMetricSource, PodsMetricSource, ResourceMetricSource,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::profile::Defaults;
use crate::crd::{self, Api, Autoscaling};

/// The CPU use to aim at where nothing else is said, in percent of the request.
const CPU_PERCENT: i32 = 80;
/// A surge during a rollout, and pods that are ending, look like load for a while.
const LOOK_BACK_GROWING: i32 = 30;
const LOOK_BACK_SHRINKING: i32 = 300;

/// Who decides how many API pods run.
#[derive(Clone, Debug, PartialEq)]
pub enum Scale {
    Fixed(i32),
    Automatic(Autoscaler),
}

/// An autoscaler as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Autoscaler {
    pub min: i32,
    pub max: i32,
    /// At least one.
    pub metrics: Vec<MetricSpec>,
    pub behavior: HorizontalPodAutoscalerBehavior,
}

impl Scale {
    pub(super) fn of(spec: &Api, defaults: &Defaults) -> Self {
        match (&spec.autoscaling, spec.replicas, defaults.most_replicas) {
            (Some(autoscaling), _, _) => Self::Automatic(Autoscaler::of(autoscaling, defaults.replicas)),
            (None, Some(replicas), _) => Self::Fixed(replicas),
            (None, None, Some(max_replicas)) => {
                let by_profile = Autoscaling {
                    max_replicas,
                    ..Autoscaling::default()
                };
                Self::Automatic(Autoscaler::of(&by_profile, defaults.replicas))
            }
            (None, None, None) => Self::Fixed(defaults.replicas),
        }
    }
}

impl Autoscaler {
    fn of(spec: &Autoscaling, fewest: i32) -> Self {
        let cpu = match (spec.target_cpu_utilization_percentage, &spec.metrics) {
            (None, Some(_)) => None,
            (percent, _) => Some(cpu(percent.unwrap_or(CPU_PERCENT))),
        };
        let behavior = spec.behavior.as_ref();
        Self {
            min: spec.min_replicas.unwrap_or(fewest).min(spec.max_replicas),
            max: spec.max_replicas,
            metrics: cpu
                .into_iter()
                .chain(spec.metrics.iter().flatten().map(metric))
                .collect(),
            behavior: HorizontalPodAutoscalerBehavior {
                scale_up: Some(rules(
                    behavior.and_then(|behavior| behavior.scale_up.as_ref()),
                    LOOK_BACK_GROWING,
                )),
                scale_down: Some(rules(
                    behavior.and_then(|behavior| behavior.scale_down.as_ref()),
                    LOOK_BACK_SHRINKING,
                )),
            },
        }
    }
}

fn cpu(percent: i32) -> MetricSpec {
    MetricSpec {
        type_: crd::MetricKind::Resource.as_str().to_owned(),
        resource: Some(ResourceMetricSource {
            name: crd::ResourceName::Cpu.as_str().to_owned(),
            target: MetricTarget {
                type_: crd::TargetKind::Utilization.as_str().to_owned(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}

fn metric(spec: &crd::Metric) -> MetricSpec {
    MetricSpec {
        type_: spec.kind.as_str().to_owned(),
        resource: spec.resource.as_ref().map(|resource| ResourceMetricSource {
            name: resource.name.as_str().to_owned(),
            target: target(&resource.target),
        }),
        container_resource: spec
            .container_resource
            .as_ref()
            .map(|resource| ContainerResourceMetricSource {
                container: resource.container.clone(),
                name: resource.name.as_str().to_owned(),
                target: target(&resource.target),
            }),
        pods: spec.pods.as_ref().map(|pods| PodsMetricSource {
            metric: identifier(&pods.metric),
            target: target(&pods.target),
        }),
        object: spec.object.as_ref().map(|object| ObjectMetricSource {
            described_object: CrossVersionObjectReference {
                api_version: object.described_object.api_version.clone(),
                kind: object.described_object.kind.clone(),
                name: object.described_object.name.clone(),
            },
            metric: identifier(&object.metric),
            target: target(&object.target),
        }),
        external: spec.external.as_ref().map(|external| ExternalMetricSource {
            metric: identifier(&external.metric),
            target: target(&external.target),
        }),
    }
}

fn identifier(spec: &crd::MetricIdentifier) -> MetricIdentifier {
    MetricIdentifier {
        name: spec.name.clone(),
        selector: spec.selector.as_ref().map(|selector| LabelSelector {
            match_labels: Some(
                selector
                    .match_labels
                    .iter()
                    .map(|(label, value)| (label.clone(), value.0.clone()))
                    .collect(),
            ),
            ..LabelSelector::default()
        }),
    }
}

fn target(spec: &crd::Target) -> MetricTarget {
    MetricTarget {
        type_: spec.kind.as_str().to_owned(),
        average_utilization: spec.average_utilization,
        average_value: spec.average_value.clone().map(Quantity),
        value: spec.value.clone().map(Quantity),
    }
}

fn rules(spec: Option<&crd::ScalingRules>, look_back: i32) -> HPAScalingRules {
    let spec = spec.cloned().unwrap_or_default();
    HPAScalingRules {
        stabilization_window_seconds: Some(spec.stabilization_window_seconds.unwrap_or(look_back)),
        select_policy: Some(spec.select_policy.as_str().to_owned()),
        policies: spec.policies.map(|policies| {
            policies
                .iter()
                .map(|policy| HPAScalingPolicy {
                    type_: policy.kind.as_str().to_owned(),
                    value: policy.value,
                    period_seconds: policy.period_seconds,
                })
                .collect()
        }),
        ..HPAScalingRules::default()
    }
}
