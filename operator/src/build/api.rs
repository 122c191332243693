//! The API: a Deployment and what belongs to it.

use super::workload::{DeploymentChild, Workload};
use super::{access, autoscaler, deployment, disruption_budget, network_policies, services};
use crate::identity::Component;
use crate::plan::Environment;

pub fn workload(environment: &Environment) -> Workload {
    let name = environment.identity.api();
    let deployment = deployment::build(environment);
    Workload {
        deployment: deployment.map(|deployment| DeploymentChild {
            deployment,
            scale: environment.api.scale.clone(),
        }),
        service_account: access::account(environment, name, Component::Api),
        service: services::api(environment),
        network_policy: network_policies::api(environment),
        disruption_budget: disruption_budget::build(environment),
        autoscaler: autoscaler::build(environment),
    }
}
