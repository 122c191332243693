//! All that a reconcile reads, at once and straight from the API server.
//!
//! Nothing is cached but the environments themselves: what is compared and decided is what is,
//! also right after a write. Watches only say when to look again.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::crd::{ConfigMapSource, RatesEnvironment};
use crate::identity::Identity;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {what}")]
    Read { what: String, source: kube::Error },
}

/// An environment and everything that exists under its labels. Not `Debug`: it holds Secrets.
#[derive(Clone)]
pub struct Observed {
    pub identity: Identity,
    pub environment: RatesEnvironment,
    pub app_secret: Option<Secret>,
    pub admin_secret: Option<Secret>,
    pub token_secret: Option<Secret>,
    pub config_maps: Vec<ConfigMap>,
    pub service_accounts: Vec<ServiceAccount>,
    pub roles: Vec<Role>,
    pub role_bindings: Vec<RoleBinding>,
    pub claims: Vec<PersistentVolumeClaim>,
    pub services: Vec<Service>,
    pub stateful_sets: Vec<StatefulSet>,
    pub jobs: Vec<Job>,
    pub deployments: Vec<Deployment>,
    pub autoscalers: Vec<HorizontalPodAutoscaler>,
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    pub pods: Vec<Pod>,
    pub dump: Dump,
}

impl Observed {
    /// An environment of which nothing exists yet.
    #[must_use]
    pub fn alone(identity: Identity, environment: RatesEnvironment) -> Self {
        Self {
            identity,
            environment,
            app_secret: None,
            admin_secret: None,
            token_secret: None,
            config_maps: Vec::new(),
            service_accounts: Vec::new(),
            roles: Vec::new(),
            role_bindings: Vec::new(),
            claims: Vec::new(),
            services: Vec::new(),
            stateful_sets: Vec::new(),
            jobs: Vec::new(),
            deployments: Vec::new(),
            autoscalers: Vec::new(),
            disruption_budgets: Vec::new(),
            pods: Vec::new(),
            dump: Dump::NotNeeded,
        }
    }
}

/// What is known of the dump that a seed names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Dump {
    /// The seed names no `ConfigMap`, or was loaded already.
    NotNeeded,
    NoConfigMap,
    /// The keys that are there instead.
    NoKey(BTreeSet<String>),
    /// The first hex digits of the content's SHA-256.
    Found {
        digest: String,
    },
}

/// Reads everything; `None` if the environment is gone, or another one has its name.
pub async fn dereference(client: &Client, identity: Identity) -> Result<Option<Observed>, Error> {
    let environments: Api<RatesEnvironment> = Api::namespaced(client.clone(), &identity.namespace);
    let found = environments.get_opt(&identity.name).await;
    let found = found.map_err(|source| Error::Read {
        what: "the environment".to_owned(),
        source,
    })?;
    let Some(environment) = found.filter(|e| e.metadata.uid.as_ref() == Some(&identity.uid)) else {
        return Ok(None);
    };
    let reader = Reader {
        client,
        namespace: &identity.namespace,
        selector: identity.everything(),
    };
    let names = [identity.postgres(), identity.postgres_admin(), identity.api()];
    let [postgres, admin, api] = &names;
    let secrets =
        async { tokio::try_join!(reader.secret(postgres), reader.secret(admin), reader.secret(api)) };
    let (secrets, config_maps, service_accounts, roles, role_bindings, claims, services) = tokio::try_join!(
        secrets,
        reader.list(),
        reader.list(),
        reader.list(),
        reader.list(),
        reader.list(),
        reader.list(),
    )?;
    let (app_secret, admin_secret, token_secret) = secrets;
    let source = unloaded_config_map(&environment, &claims, &identity.claim(0));
    let (stateful_sets, jobs, deployments, autoscalers, disruption_budgets, pods, dump) = tokio::try_join!(
        reader.list(),
        reader.list(),
        reader.list(),
        reader.list(),
        reader.list(),
        reader.list(),
        reader.dump(source),
    )?;
    Ok(Some(Observed {
        identity,
        environment,
        app_secret,
        admin_secret,
        token_secret,
        config_maps,
        service_accounts,
        roles,
        role_bindings,
        claims,
        services,
        stateful_sets,
        jobs,
        deployments,
        autoscalers,
        disruption_budgets,
        pods,
        dump,
    }))
}

/// The `ConfigMap` that a seed still needs: none once it was loaded into the claim that is there.
fn unloaded_config_map<'a>(
    environment: &'a RatesEnvironment,
    claims: &[PersistentVolumeClaim],
    claim: &str,
) -> Option<&'a ConfigMapSource> {
    let database = environment
        .status
        .as_ref()
        .and_then(|status| status.database.as_ref());
    let loaded_into = database.and_then(|database| database.seed.as_ref()?.claim_uid.as_ref());
    let claim = claims.iter().find(|existing| existing.name_any() == claim);
    if loaded_into.is_some() && loaded_into == claim.and_then(|claim| claim.metadata.uid.as_ref()) {
        return None;
    }
    environment.spec.database.seed.as_ref()?.config_map.as_ref()
}

struct Reader<'a> {
    client: &'a Client,
    namespace: &'a str,
    selector: String,
}

impl Reader<'_> {
    async fn list<K>(&self) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        let list = api.list(&ListParams::default().labels(&self.selector)).await;
        list.map(|list| list.items).map_err(|source| Error::Read {
            what: K::plural(&()).into_owned(),
            source,
        })
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace);
        api.get_opt(name).await.map_err(|source| Error::Read {
            what: format!("Secret {name}"),
            source,
        })
    }

    async fn dump(&self, source: Option<&ConfigMapSource>) -> Result<Dump, Error> {
        let Some(ConfigMapSource { name, key }) = source else {
            return Ok(Dump::NotNeeded);
        };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.namespace);
        let found = api.get_opt(name).await;
        let found = found.map_err(|source| Error::Read {
            what: format!("ConfigMap {name}"),
            source,
        })?;
        Ok(found.map_or(Dump::NoConfigMap, |config_map| look_for(key, config_map)))
    }
}

fn look_for(key: &str, config_map: ConfigMap) -> Dump {
    let text = config_map.data.unwrap_or_default();
    let binary = config_map.binary_data.unwrap_or_default();
    let content = text
        .get(key)
        .map(String::as_bytes)
        .or_else(|| binary.get(key).map(|b| b.0.as_slice()));
    match content {
        Some(content) => Dump::Found {
            digest: short_digest(&[content]),
        },
        None => Dump::NoKey(text.into_keys().chain(binary.into_keys()).collect()),
    }
}

/// The first ten hex digits of the SHA-256 of some parts, each with its length before it.
#[must_use]
pub fn short_digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    let mut digits = String::with_capacity(10);
    for byte in hasher.finalize().iter().take(5) {
        for digit in [byte >> 4, byte & 15] {
            digits.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    digits
}
