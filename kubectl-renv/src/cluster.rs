//! The Kubernetes cluster of the kubeconfig: how it is reached, and what it refuses in words that say what to do.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config, Resource};

use crate::environment::Environment;
use crate::failure::Failure;
use crate::flags::Target;
use crate::key::Key;

/// How many environments a message names.
const NAMED: usize = 8;

/// The field manager of what this program applies.
pub const MANAGER: &str = "kubectl-renv";

/// A cluster, and the namespace that is meant in it.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    pub namespace: String,
    url: String,
}

impl Cluster {
    /// Reads the kubeconfig. Nothing is asked yet.
    pub async fn connect(target: &Target) -> Result<Self> {
        let config = config(target).await?;
        let namespace = target
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let url = config.cluster_url.to_string();
        let client = Client::try_from(config).context("cannot make a client of the Kubernetes API")?;
        Ok(Self {
            client,
            namespace,
            url,
        })
    }

    /// Another namespace of the same cluster.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..self.clone()
        }
    }

    #[must_use]
    pub fn key(&self, name: &str) -> Key {
        Key {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
        }
    }

    /// The environments of the namespace.
    #[must_use]
    pub fn environments(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind())
    }

    /// The objects of a kind in the namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The environments of a namespace, or of all, by namespace and name.
    pub async fn list(&self, all_namespaces: bool) -> Result<Vec<Environment>> {
        let environments = if all_namespaces {
            Api::all_with(self.client.clone(), &kind())
        } else {
            self.environments()
        };
        let listed = environments.list(&ListParams::default()).await;
        let listed = listed.map_err(|error| self.explain(error, "list environments"))?;
        let mut found: Vec<Environment> = listed.items.into_iter().map(Environment::new).collect();
        found.sort_by_key(Environment::key);
        Ok(found)
    }

    /// One environment; where there is none, an error that names those that there are.
    pub async fn environment(&self, name: &str) -> Result<Environment> {
        let found = self.environments().get_opt(name).await;
        let found = found.map_err(|error| self.explain(error, &format!("read environment {name}")))?;
        match found {
            Some(object) => Ok(Environment::new(object)),
            None => Err(self.missing(name).await),
        }
    }

    /// That there is no such environment.
    pub async fn missing(&self, name: &str) -> anyhow::Error {
        let others = match self.list(false).await {
            Ok(others) => others,
            // Whoever may read one need not be allowed to list all; without the kind there can be none.
            Err(error) if error.is::<Failure>() => return error,
            Err(_) => Vec::new(),
        };
        let names: Vec<&str> = others.iter().take(NAMED).map(Environment::name).collect();
        let others = match (names.as_slice(), others.len() > NAMED) {
            ([], _) => "; -n names another namespace, and `kubectl renv list -A` shows all".to_owned(),
            (names, more) => format!(
                "; there {}: {}{}",
                if names.len() == 1 { "is" } else { "are" },
                names.join(", "),
                if more { ", …" } else { "" }
            ),
        };
        Failure::Missing(format!(
            "there is no environment {name} in namespace {}{others}",
            self.namespace
        ))
        .into()
    }

    /// An error of the Kubernetes API, with what was attempted and what to do.
    #[must_use]
    pub fn explain(&self, error: kube::Error, attempt: &str) -> anyhow::Error {
        match error {
            kube::Error::Api(status) => {
                let named = status
                    .details
                    .as_ref()
                    .is_some_and(|details| !details.name.is_empty());
                match status.code {
                    404 if !named => Failure::Missing(format!(
                        "cannot {attempt}: {} has no such kind; is the operator installed? See `Installing the operator` in \
                         the README",
                        self.url
                    ))
                    .into(),
                    401 => anyhow!(
                        "cannot {attempt}: {} does not know you (401); log in again, or name another user by --context",
                        self.url
                    ),
                    403 => anyhow!(
                        "cannot {attempt}: {}; ask an administrator of the cluster for this right",
                        status.message
                    ),
                    409 => anyhow!(
                        "cannot {attempt}: somebody else changed it just now ({}); try again",
                        status.message
                    ),
                    _ => anyhow!("cannot {attempt}: {}", status.message),
                }
            }
            other => anyhow::Error::new(other).context(format!(
                "cannot {attempt}: {} cannot be reached; --context and --kubeconfig name another cluster",
                self.url
            )),
        }
    }
}

/// The kind of environments.
#[must_use]
pub fn kind() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("rates.internal", "v1alpha1", "RatesEnvironment"),
        "ratesenvironments",
    )
}

fn kubeconfig(target: &Target) -> Result<Kubeconfig, KubeconfigError> {
    match &target.kubeconfig {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    }
}

async fn config(target: &Target) -> Result<Config> {
    let options = KubeConfigOptions {
        context: target.context.clone(),
        ..KubeConfigOptions::default()
    };
    let mut config = match kubeconfig(target) {
        Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options).await?,
        // In a pod the account's token is enough.
        Err(error) if target.kubeconfig.is_none() && target.context.is_none() => Config::incluster()
            .map_err(|_| {
                anyhow::Error::new(error).context(
                    "cannot read the kubeconfig; --kubeconfig FILE or the variable KUBECONFIG names one",
                )
            })?,
        Err(error) => {
            return Err(error).context("cannot read the kubeconfig; --kubeconfig FILE names another one");
        }
    };
    config.connect_timeout = Some(Duration::from_secs(10));
    Ok(config)
}

/// The namespace that is meant, as kubectl takes it: that of the kubeconfig's context, `default` where there is none.
pub fn namespace(target: &Target) -> Result<String> {
    if let Some(namespace) = &target.namespace {
        return Ok(namespace.clone());
    }
    let config = match kubeconfig(target) {
        Ok(config) => config,
        // Without a kubeconfig kubectl has a namespace nevertheless.
        Err(KubeconfigError::ReadConfig(..)) if target.context.is_none() && target.kubeconfig.is_none() => {
            return Ok("default".to_owned());
        }
        Err(error) => {
            return Err(error).context("cannot read the kubeconfig; -n names a namespace without it");
        }
    };
    let Some(name) = target.context.clone().or(config.current_context) else {
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
pub async fn known(target: &Target, key: &Key) -> Result<Known> {
    let mut config = config(target).await?;
    config.connect_timeout = Some(Duration::from_secs(3));
    config.read_timeout = Some(Duration::from_secs(5));
    config.default_retry = false;
    let client = Client::try_from(config)?;
    let environments: Api<DynamicObject> = Api::namespaced_with(client, &key.namespace, &kind());
    let object = environments.get_opt(&key.name).await?;
    Ok(match object.map(Environment::new) {
        None => Known::Missing,
        Some(environment) if environment.object.data["spec"]["monitoring"].is_object() => {
            Known::WithMonitoring
        }
        Some(_) => Known::WithoutMonitoring,
    })
}
