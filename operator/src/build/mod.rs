//! What an environment consists of: pure functions from the planned environment to the objects
//! as they are applied, one file a kind of child. Nothing here has a client or a clock.

mod access;
mod api;
mod autoscaler;
mod claims;
mod deployment;
mod disruption_budget;
mod ingress;
mod jobs;
mod network_policies;
mod patroni_state;
mod pod;
mod route;
mod secrets;
mod services;
mod stateful_set;
mod workload;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;

use crate::plan::Environment;

pub use jobs::JobChild;
pub use workload::DeploymentChild;
use workload::Workload;

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
    pub patroni_state: Vec<ConfigMap>,
    /// Of the database's pods, the API's and the Jobs'.
    pub service_accounts: Vec<ServiceAccount>,
    pub role: Role,
    pub role_binding: RoleBinding,
    pub network_policies: Vec<NetworkPolicy>,
    pub claims: Vec<PersistentVolumeClaim>,
    pub services: Vec<Service>,
    pub stateful_set: StatefulSet,
    /// Those to be there now.
    pub seed_job: Option<JobChild>,
    pub migrate_job: Option<JobChild>,
    pub deployments: Vec<DeploymentChild>,
    pub autoscalers: Vec<HorizontalPodAutoscaler>,
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    pub ingress: Option<Ingress>,
    pub route: Option<HTTPRoute>,
}

impl Children {
    /// A Deployment by its name.
    #[must_use]
    pub fn deployment(&self, name: &str) -> Option<&Deployment> {
        let mut deployments = self.deployments.iter().map(|child| &child.deployment);
        deployments.find(|deployment| deployment.metadata.name.as_deref() == Some(name))
    }
}

/// The parts that run as Deployments.
fn workloads(environment: &Environment) -> Vec<Workload> {
    vec![api::workload(environment)]
}

/// All children of an environment.
#[must_use]
pub fn build(environment: &Environment) -> Children {
    let mut children = Children {
        app_secret: secrets::app(environment),
        admin_secret: secrets::admin(environment),
        migrator_secret: secrets::migrator(environment),
        token_secret: secrets::token(environment),
        patroni_state: patroni_state::build(environment),
        service_accounts: access::service_accounts(environment),
        role: access::role(environment),
        role_binding: access::role_binding(environment),
        network_policies: vec![
            network_policies::postgres(environment),
            network_policies::jobs(environment),
        ],
        claims: claims::build(environment),
        services: services::build(environment),
        stateful_set: stateful_set::build(environment),
        seed_job: jobs::seed(environment),
        migrate_job: jobs::migrate(environment),
        deployments: Vec::new(),
        autoscalers: Vec::new(),
        disruption_budgets: Vec::new(),
        ingress: ingress::build(environment),
        route: route::build(environment),
    };
    for workload in workloads(environment) {
        let Workload {
            deployment,
            service_account,
            service,
            network_policy,
            disruption_budget,
            autoscaler,
        } = workload;
        children.deployments.extend(deployment);
        children.service_accounts.push(service_account);
        children.services.push(service);
        children.network_policies.push(network_policy);
        children.disruption_budgets.push(disruption_budget);
        children.autoscalers.extend(autoscaler);
    }
    if !environment.network_policies {
        children.network_policies.clear();
    }
    children
}
