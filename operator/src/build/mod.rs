//! What an environment consists of: pure functions from the validated environment to the objects
//! as they are applied, one file a kind of child. Nothing here has a client or a clock.

mod access;
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

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;

use crate::validate::Environment;

pub use jobs::JobChild;

/// Every object of an environment. Whoever handles them destructures this without `..`, so that
/// a child that was forgotten does not compile. Not `Debug`: it holds Secrets.
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
    /// Once the tables are there.
    pub deployment: Option<Deployment>,
    pub autoscaler: Option<HorizontalPodAutoscaler>,
    pub disruption_budget: PodDisruptionBudget,
    pub ingress: Option<Ingress>,
    pub route: Option<HTTPRoute>,
}

/// All children of an environment.
#[must_use]
pub fn build(environment: &Environment) -> Children {
    Children {
        app_secret: secrets::app(environment),
        admin_secret: secrets::admin(environment),
        migrator_secret: secrets::migrator(environment),
        token_secret: secrets::token(environment),
        patroni_state: patroni_state::build(environment),
        service_accounts: access::service_accounts(environment),
        role: access::role(environment),
        role_binding: access::role_binding(environment),
        network_policies: network_policies::build(environment),
        claims: claims::build(environment),
        services: services::build(environment),
        stateful_set: stateful_set::build(environment),
        seed_job: jobs::seed(environment),
        migrate_job: jobs::migrate(environment),
        deployment: deployment::build(environment),
        autoscaler: autoscaler::build(environment),
        disruption_budget: disruption_budget::build(environment),
        ingress: ingress::build(environment),
        route: route::build(environment),
    }
}
