//! What the operator would see of an environment, without the Secrets: both specifications are planned without them, so
//! that they make no difference.

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt as _};
use rates_operator::crd::RatesEnvironment;
use rates_operator::identity::Identity;
use rates_operator::observed::{Dump, Observed};
use rates_operator::settings::{Images, Monitoring};

use super::change::Operator;
use crate::cluster::Cluster;
use crate::parts::{self, ROLE};

/// What is there of an environment.
pub async fn observe(cluster: &Cluster, environment: RatesEnvironment) -> Result<Observed> {
    let identity = Identity::of(&environment).context("the environment has no uid")?;
    let name = identity.name.clone();
    let mut observed = Observed::alone(identity, environment);
    // What it holds does not matter here, and is the same for both.
    observed.dump = Dump::Found {
        digest: "0".to_owned(),
    };
    let failed = |error| cluster.explain(error, "list what the operator made");
    observed.pods = parts::list(cluster, &name).await.map_err(failed)?;
    observed.claims = parts::list(cluster, &name).await.map_err(failed)?;
    observed.config_maps = parts::list(cluster, &name).await.map_err(failed)?;
    observed.stateful_sets = parts::list(cluster, &name).await.map_err(failed)?;
    observed.deployments = parts::list(cluster, &name).await.map_err(failed)?;
    observed.jobs = parts::list(cluster, &name).await.map_err(failed)?;
    observed.autoscalers = parts::list(cluster, &name).await.map_err(failed)?;
    Ok(observed)
}

/// The database's primary.
#[must_use]
pub fn primary(observed: &Observed) -> Option<String> {
    let is_primary =
        |pod: &&k8s_openapi::api::core::v1::Pod| pod.labels().get(ROLE).is_some_and(|role| role == "primary");
    observed
        .pods
        .iter()
        .find(is_primary)
        .map(kube::ResourceExt::name_any)
}

/// The operator's images: as it was started with, else as the environment's status has them.
pub async fn operator(cluster: &Cluster, namespace: &str, environment: &RatesEnvironment) -> Operator {
    let started = started_with(cluster, namespace).await.unwrap_or_default();
    let setting = |name: &str| {
        started
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    let status = environment.status.clone().unwrap_or_default();
    let (database, api) = (
        status.database.unwrap_or_default(),
        status.api.unwrap_or_default(),
    );
    let postgres = setting("RATES_POSTGRES_IMAGES").map_or_else(
        || {
            let version = database.version.unwrap_or_else(|| "13.5".to_owned());
            let image = database
                .default_image
                .or(database.image)
                .unwrap_or_else(|| "unknown".to_owned());
            vec![format!("{version}={image}")]
        },
        |pairs| pairs.split(',').map(str::to_owned).collect(),
    );
    let image = setting("RATES_API_IMAGE")
        .or(api.default_image)
        .unwrap_or_else(|| "unknown".to_owned());
    Operator {
        images: Images::new(image, &postgres).unwrap_or_default(),
        // Who may reach the ports of metrics is the same for both.
        monitoring: Monitoring::new(
            Some(setting("RATES_EXPORTER_IMAGE").unwrap_or_else(|| "unknown".to_owned())),
            Vec::new(),
        ),
    }
}

/// The variables of the operator that come from a ConfigMap.
async fn started_with(cluster: &Cluster, namespace: &str) -> Option<Vec<(String, String)>> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
    let deployment = deployments.get("rates-operator").await.ok()?;
    let container = deployment.spec?.template.spec?.containers.into_iter().next()?;
    let source = container
        .env_from?
        .into_iter()
        .find_map(|source| source.config_map_ref)?;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    Some(maps.get(&source.name).await.ok()?.data?.into_iter().collect())
}
