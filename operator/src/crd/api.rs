//! `spec.api`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Resources;

/// The rates API of an environment: the Deployment NAME-api behind the Service NAME-api, port 80.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
    .message("set api.replicas or api.autoscaling, not both: an autoscaler owns the number of replicas"))]
pub struct Api {
    /// An image to run in place of the operator's own. Default: the operator's, pinned in
    /// status.api.image, so that a new operator does not restart every environment.
    /// Example: registry.example/rates-api:2026-11-22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub image: Option<String>,

    /// How many API pods run, 1 to 100. Default: by profile, 3, 2 or 1. Not together with
    /// autoscaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: Option<i32>,

    /// Let the number of API pods follow the load, with a HorizontalPodAutoscaler
    /// (autoscaling/v2). Not together with replicas. Example: {minReplicas: 2, maxReplicas: 6}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,

    /// How API pods are replaced.
    #[serde(default)]
    pub rollout: Rollout,

    /// What an API pod asks for and may use. Default: by profile; Preview 5m and 24Mi, at most 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// A HorizontalPodAutoscaler (autoscaling/v2) for the API.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minReplicas) || self.minReplicas <= self.maxReplicas")
    .message("api.autoscaling.minReplicas must not exceed maxReplicas: lower the one or raise the other"))]
pub struct Autoscaling {
    /// The fewest pods, 1 to 100. Default: the profile's number of replicas, or maxReplicas
    /// where that is lower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: Option<i32>,

    /// The most pods, 1 to 100. Leave room in quotas for one more during a rollout.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,

    /// The CPU use to aim at, in percent of what the pods request, 1 to 1000. Default: 80.
    #[serde(rename = "targetCPUUtilizationPercentage", default = "eighty")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: i32,
}

/// How API pods are replaced.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Seconds that a pod which is to end goes on serving as before, until every proxy and
    /// load balancer has noticed that it left; 0 to 300. Default: 5, enough inside a
    /// cluster; outside load balancers may need 30.
    #[serde(default = "five")]
    #[schemars(range(min = 0, max = 300))]
    pub propagation_seconds: i32,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            propagation_seconds: five(),
        }
    }
}

fn five() -> i32 {
    5
}

fn eighty() -> i32 {
    80
}
