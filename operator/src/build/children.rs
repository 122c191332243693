//! Every object of an environment.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;

use crate::http_route::HTTPRoute;
use crate::plan::Scale;
use crate::pod_monitor::PodMonitor;

/// Every object of an environment, most of them by kind: a child of a known kind is applied, and removed once it is not
/// wanted, without a line elsewhere. Whoever handles them destructures this without `..`, so that a kind that was
/// forgotten does not compile. Not `Debug`: it holds Secrets.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Children {
    pub app_secret: Secret,
    pub admin_secret: Secret,
    pub migrator_secret: Secret,
    /// None where the one that is there holds what only a person can correct.
    pub token_secret: Option<Secret>,
    /// While another environment's data are copied.
    pub copy_secret: Option<Secret>,
    pub patroni_state: Vec<ConfigMap>,
    /// Of the database's pods, the API's and the Jobs'.
    pub service_accounts: Vec<ServiceAccount>,
    pub role: Role,
    pub role_binding: RoleBinding,
    pub network_policies: Vec<NetworkPolicy>,
    pub claims: Vec<PersistentVolumeClaim>,
    pub services: Vec<Service>,
    pub endpoint_slices: Vec<EndpointSlice>,
    pub stateful_set: StatefulSet,
    /// Those to be there now.
    pub seed_job: Option<JobChild>,
    pub migrate_job: Option<JobChild>,
    pub deployments: Vec<DeploymentChild>,
    pub autoscalers: Vec<HorizontalPodAutoscaler>,
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    pub ingress: Option<Ingress>,
    pub route: Option<HTTPRoute>,
    pub pod_monitors: Vec<PodMonitor>,
}

impl Children {
    /// A Deployment by its name.
    #[must_use]
    pub fn deployment(&self, name: &str) -> Option<&Deployment> {
        let mut deployments = self.deployments.iter().map(|child| &child.deployment);
        deployments.find(|deployment| deployment.metadata.name.as_deref() == Some(name))
    }
}

/// A Job and the attempt it is; Jobs are created and deleted, never changed.
#[derive(Clone, Debug, Serialize)]
pub struct JobChild {
    pub job: Job,
    #[serde(skip)]
    pub replaces: Option<String>,
    /// Whether it may be created now.
    #[serde(skip)]
    pub due: bool,
}

/// A Deployment, and who decides about the number of its pods.
#[derive(Clone, Debug, Serialize)]
pub struct DeploymentChild {
    #[serde(flatten)]
    pub deployment: Deployment,
    #[serde(skip)]
    pub scale: Scale,
}
