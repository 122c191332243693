//! A part of an environment that runs as a Deployment.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;

use crate::plan::Scale;

/// A Deployment with all that belongs to it alone.
pub struct Workload {
    /// Once there is something to run.
    pub deployment: Option<DeploymentChild>,
    pub service_account: ServiceAccount,
    pub service: Service,
    pub network_policy: NetworkPolicy,
    pub disruption_budget: PodDisruptionBudget,
    pub autoscaler: Option<HorizontalPodAutoscaler>,
}

/// A Deployment, and who decides about the number of its pods.
#[derive(Clone, Debug, Serialize)]
pub struct DeploymentChild {
    #[serde(flatten)]
    pub deployment: Deployment,
    #[serde(skip)]
    pub scale: Scale,
}
