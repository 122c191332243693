//! The Kubernetes cluster of the kubeconfig: its namespace, and what an environment's object says. It is only read.

use anyhow::{Context as _, Result};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::key::Key;

/// The namespace of the kubeconfig's context, as kubectl takes it: `default` where there is none.
pub fn namespace(context: Option<&str>) -> Result<String> {
    let config = match Kubeconfig::read() {
        Ok(config) => config,
        // Without a kubeconfig kubectl has a namespace nevertheless.
        Err(kube::config::KubeconfigError::ReadConfig(..)) if context.is_none() => {
            return Ok("default".to_owned());
        }
        Err(error) => {
            return Err(error).context("cannot read the kubeconfig; -n names a namespace without it");
        }
    };
    let Some(name) = context.map(str::to_owned).or(config.current_context) else {
        return Ok("default".to_owned());
    };
    let found = config
        .contexts
        .into_iter()
        .find(|named| named.name == name)
        .with_context(|| format!("the kubeconfig has no context {name:?}"))?;
    Ok(found
        .context
        .and_then(|context| context.namespace)
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or_else(|| "default".to_owned()))
}

/// What the Kubernetes API knows of an environment.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    Missing,
    WithoutMonitoring,
    WithMonitoring,
}

/// Asks the Kubernetes API. It may be out of reach from here, where only Prometheus' port is forwarded.
pub async fn known(context: Option<&str>, key: &Key) -> Result<Known> {
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let mut config = Config::from_kubeconfig(&options).await?;
    config.connect_timeout = Some(std::time::Duration::from_secs(3));
    config.read_timeout = Some(std::time::Duration::from_secs(5));
    config.default_retry = false;
    let client = Client::try_from(config)?;
    let kind = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("rates.internal", "v1alpha1", "RatesEnvironment"),
        "ratesenvironments",
    );
    let environments: Api<DynamicObject> = Api::namespaced_with(client, &key.namespace, &kind);
    let object = environments.get_opt(&key.name).await?;
    Ok(match object {
        None => Known::Missing,
        Some(object) if object.data["spec"]["monitoring"].is_object() => Known::WithMonitoring,
        Some(_) => Known::WithoutMonitoring,
    })
}
