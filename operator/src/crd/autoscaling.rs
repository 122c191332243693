//! `spec.api.autoscaling`, in the shape of autoscaling/v2, with bounds.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A HorizontalPodAutoscaler (autoscaling/v2) for the API. Of several metrics, the one that asks
/// for the most pods counts.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minReplicas) || self.minReplicas <= self.maxReplicas")
    .message("api.autoscaling.minReplicas must not exceed maxReplicas: lower the one or raise the other"))]
#[x_kube(validation = Rule::new("!has(self.targetCPUUtilizationPercentage) || !has(self.metrics) || !self.metrics.exists(metric, metric.type == 'Resource' && has(metric.resource) && metric.resource.name == 'cpu')")
    .message("api.autoscaling.targetCPUUtilizationPercentage is a metric of the cpu already: remove it, or the Resource metric cpu from api.autoscaling.metrics"))]
pub struct Autoscaling {
    /// The fewest pods, 1 to 100. Default: the profile's number of replicas, or maxReplicas
    /// where that is lower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: Option<i32>,

    /// The most pods, 1 to 100. Leave room in quotas for those that a rollout adds.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,

    /// The CPU use to aim at, in percent of what the pods request, 1 to 1000. Default: 80 where
    /// metrics is not set. With metrics, it counts as one more metric.
    #[serde(
        rename = "targetCPUUtilizationPercentage",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: Option<i32>,

    /// What to scale by in place of the CPU, at most 8, as autoscaling/v2 has them. Default: the
    /// CPU alone. Pods, Object and External metrics need an adapter in the cluster. Example:
    ///   - {type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: 70}}}
    ///   - {type: Pods, pods: {metric: {name: requests}, target: {type: AverageValue, averageValue: "20"}}}
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub metrics: Option<Vec<Metric>>,

    /// How fast pods are added and removed, as autoscaling/v2 has it. Default: growing looks back
    /// 30 seconds and shrinking 300, because the pods that a rollout adds look like load for a
    /// while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,
}

/// One metric: its type, and the member of that name.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.resource) == (self.type == 'Resource') && has(self.containerResource) == (self.type == 'ContainerResource') && has(self.pods) == (self.type == 'Pods') && has(self.object) == (self.type == 'Object') && has(self.external) == (self.type == 'External')")
    .message("a metric has the one member that its type names: resource with type Resource, containerResource with ContainerResource, pods with Pods, object with Object, external with External"))]
#[x_kube(validation = Rule::new("(!has(self.resource) || self.resource.target.type != 'Value') && (!has(self.containerResource) || self.containerResource.target.type != 'Value') && (!has(self.pods) || self.pods.target.type == 'AverageValue') && (!has(self.object) || self.object.target.type != 'Utilization') && (!has(self.external) || self.external.target.type != 'Utilization')")
    .message("a metric's target.type does not fit its type: Resource and ContainerResource take Utilization or AverageValue, Pods takes AverageValue, Object and External take Value or AverageValue"))]
pub struct Metric {
    /// Which kind of metric: Resource (the pods' CPU or memory), ContainerResource (that of
    /// one container), Pods (a metric that each pod has), Object (one of another object, such
    /// as an Ingress) or External (one from outside the cluster).
    #[serde(rename = "type")]
    pub kind: MetricKind,

    /// The CPU or memory of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceMetric>,

    /// The CPU or memory of one container of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_resource: Option<ContainerMetric>,

    /// A metric that each pod has; the mean of all is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodsMetric>,

    /// A metric of another object in the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectMetric>,

    /// A metric from outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalMetric>,
}

/// Which kind of metric.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum MetricKind {
    Resource,
    ContainerResource,
    Pods,
    Object,
    External,
}

impl MetricKind {
    /// As autoscaling/v2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resource => "Resource",
            Self::ContainerResource => "ContainerResource",
            Self::Pods => "Pods",
            Self::Object => "Object",
            Self::External => "External",
        }
    }
}

/// The CPU or memory of the pods.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceMetric {
    /// cpu or memory.
    pub name: ResourceName,

    /// What to aim at.
    pub target: Target,
}

/// The CPU or memory of one container of the pods.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerMetric {
    /// The container's name. The API's pods have one, called api, and what admission adds.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub container: String,

    /// cpu or memory.
    pub name: ResourceName,

    /// What to aim at.
    pub target: Target,
}

/// What containers request amounts of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ResourceName {
    Cpu,
    Memory,
}

impl ResourceName {
    /// As Kubernetes writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// A metric that each pod has.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodsMetric {
    /// Which metric.
    pub metric: MetricIdentifier,

    /// What to aim at.
    pub target: Target,
}

/// A metric of another object in the namespace.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectMetric {
    /// Which object.
    pub described_object: DescribedObject,

    /// Which metric.
    pub metric: MetricIdentifier,

    /// What to aim at.
    pub target: Target,
}

/// A metric from outside the cluster.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalMetric {
    /// Which metric.
    pub metric: MetricIdentifier,

    /// What to aim at.
    pub target: Target,
}

/// An object that a metric is of.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribedObject {
    /// Its API version. Example: networking.k8s.io/v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub api_version: Option<String>,

    /// Its kind. Example: Ingress.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,

    /// Its name. Example: pr-42-api.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A metric's name, and labels that select its series.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricIdentifier {
    /// The name. Example: `requests`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// Labels that select the series. Default: all series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
}

/// Labels to select by.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Labels with the values that they must have, at most 16.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16))]
    pub match_labels: BTreeMap<String, Label>,
}

/// The value of a label.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Label(#[schemars(length(max = 63))] pub String);

/// What to aim at: a type, and the amount of that name.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.averageUtilization) == (self.type == 'Utilization') && has(self.averageValue) == (self.type == 'AverageValue') && has(self.value) == (self.type == 'Value')")
    .message("a target has the one amount that its type names: averageUtilization with type Utilization, averageValue with AverageValue, value with Value"))]
pub struct Target {
    /// Utilization, AverageValue or Value.
    #[serde(rename = "type")]
    pub kind: TargetKind,

    /// The mean over all pods, in percent of what they request, 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub average_utilization: Option<i32>,

    /// The mean over all pods, a quantity above 0. Examples: 200m, "20".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))")
        .message("target.averageValue must be a quantity above 0, such as 200m or 20"))]
    pub average_value: Option<String>,

    /// The metric itself, a quantity above 0. Examples: 2k, "100".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))")
        .message("target.value must be a quantity above 0, such as 2k or 100"))]
    pub value: Option<String>,
}

/// How a metric is compared.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum TargetKind {
    Utilization,
    AverageValue,
    Value,
}

impl TargetKind {
    /// As autoscaling/v2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Utilization => "Utilization",
            Self::AverageValue => "AverageValue",
            Self::Value => "Value",
        }
    }
}

/// How fast pods are added and removed.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// How pods are added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,

    /// How pods are removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// How pods are added, or removed.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// Seconds to look back, 0 to 3600: of all recommendations in that time, the one with the
    /// smallest change is followed. Default: 30 for growing, 300 for shrinking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub stabilization_window_seconds: Option<i32>,

    /// Which of the policies counts: Max (the largest change, the default), Min, or Disabled for
    /// no change in this direction at all.
    #[serde(default)]
    pub select_policy: SelectPolicy,

    /// How much may change in how long, at most 8. Default: as Kubernetes has it, twice the pods
    /// or 4 more in 15 seconds, or all fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub policies: Option<Vec<ScalingPolicy>>,
}

/// Which of several policies counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SelectPolicy {
    #[default]
    Max,
    Min,
    Disabled,
}

impl SelectPolicy {
    /// As autoscaling/v2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Max => "Max",
            Self::Min => "Min",
            Self::Disabled => "Disabled",
        }
    }
}

/// How much may change in how long. Example: {type: Pods, value: 2, periodSeconds: 60}.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// Pods or Percent: what value counts.
    #[serde(rename = "type")]
    pub kind: PolicyKind,

    /// How many pods, or how many percent of those that are there, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub value: i32,

    /// In how many seconds, 1 to 1800.
    #[schemars(range(min = 1, max = 1800))]
    pub period_seconds: i32,
}

/// What a policy counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum PolicyKind {
    Pods,
    Percent,
}

impl PolicyKind {
    /// As autoscaling/v2 writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pods => "Pods",
            Self::Percent => "Percent",
        }
    }
}
