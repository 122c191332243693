//! What an environment consists of: pure functions from the planned environment to the objects
//! as they are applied, one file a kind of child. Nothing here has a client or a clock.

mod access;
mod activator_slice;
mod api;
mod children;
mod claims;
mod disruption_budget;
mod ingress;
mod jobs;
mod network_policies;
mod patroni_state;
mod pod;
mod pod_monitors;
mod route;
mod secrets;
mod services;
mod stateful_set;
mod workload;

use crate::plan::Environment;

pub use children::{Children, DeploymentChild, JobChild};
use workload::Workload;

/// The parts that run as Deployments.
fn workloads(environment: &Environment) -> Vec<Workload<'_>> {
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
        copy_secret: secrets::copy(environment),
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
        endpoint_slices: activator_slice::build(environment),
        stateful_set: stateful_set::build(environment),
        seed_job: jobs::seed(environment),
        migrate_job: jobs::migrate(environment),
        deployments: Vec::new(),
        autoscalers: Vec::new(),
        disruption_budgets: disruption_budget::of_the_database(environment)
            .into_iter()
            .collect(),
        ingress: ingress::build(environment),
        route: route::build(environment),
        pod_monitors: pod_monitors::build(environment),
    };
    for workload in workloads(environment) {
        workload.add_to(&mut children);
    }
    if !environment.network_policies {
        children.network_policies.clear();
    }
    children
}
