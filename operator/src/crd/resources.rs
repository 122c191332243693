//! `resources` of the API and of the database, in the shape that containers have them.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What a container asks for and may use at most, as in a pod's specification. Example:
/// {requests: {cpu: 250m, memory: 256Mi}, limits: {memory: 1Gi}}.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.requests) || !has(self.limits) || !has(self.requests.cpu) || !has(self.limits.cpu) || !isQuantity(self.requests.cpu) || !isQuantity(self.limits.cpu) || quantity(self.requests.cpu).compareTo(quantity(self.limits.cpu)) <= 0")
    .message("resources.requests.cpu must not exceed resources.limits.cpu: lower the one or raise the other"))]
#[x_kube(validation = Rule::new("!has(self.requests) || !has(self.limits) || !has(self.requests.memory) || !has(self.limits.memory) || !isQuantity(self.requests.memory) || !isQuantity(self.limits.memory) || quantity(self.requests.memory).compareTo(quantity(self.limits.memory)) <= 0")
    .message("resources.requests.memory must not exceed resources.limits.memory: lower the one or raise the other"))]
pub struct Resources {
    /// What is reserved on the node. Default: by profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Amounts>,

    /// What the container may use at most. Default: by profile, for memory only, and never below
    /// the request. The processor has no limit unless one is set here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Amounts>,
}

/// Amounts of processor and memory.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Processors, from 1m (a thousandth) to 1024. Examples: 250m, 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('1m')) >= 0 && quantity(self).compareTo(quantity('1024')) <= 0")
        .message("cpu must be a quantity of processors from 1m to 1024, such as 250m or 2"))]
    pub cpu: Option<String>,

    /// Bytes of memory, from 16Mi to 16Ti. Examples: 256Mi, 2Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('16Mi')) >= 0 && quantity(self).compareTo(quantity('16Ti')) <= 0")
        .message("memory must be a quantity of bytes from 16Mi to 16Ti, such as 256Mi or 2Gi"))]
    pub memory: Option<String>,
}
