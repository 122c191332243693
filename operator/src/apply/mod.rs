//! Makes the cluster hold what was built: in a fixed order, each object only if it differs, and
//! what is no longer wanted removed by label. Nobody else's object is ever touched.

mod compare;
mod jobs;
mod orphans;
mod replicas;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::build::Children;
use crate::dereference::Observed;
use crate::identity::{Claim, Identity, MANAGER};
use crate::validate::Environment;

/// Why something could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{kind} {name} exists already and is not of this environment: delete or rename it, or give the environment another name"
    )]
    NameTaken { kind: String, name: String },
    #[error("{kind} {name} is being deleted; it is made anew when it is gone")]
    Leaving { kind: String, name: String },
    #[error("the API server refuses {kind} {name}: {message}")]
    Refused {
        kind: String,
        name: String,
        message: String,
    },
    #[error("the namespace is being deleted")]
    NamespaceEnding,
    #[error("cannot write {kind} {name}")]
    Write {
        kind: String,
        name: String,
        source: kube::Error,
    },
    #[error("cannot serialise {kind} {name}")]
    Serialise {
        kind: String,
        name: String,
        source: serde_json::Error,
    },
}

impl Error {
    /// The reason for a condition; `None` for what only concerns the operator and is tried again.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::NameTaken { .. } => Some("NameTaken"),
            Self::Leaving { .. } => Some("WaitingForDeletion"),
            Self::Refused { .. } => Some("Refused"),
            Self::NamespaceEnding | Self::Write { .. } | Self::Serialise { .. } => None,
        }
    }
}

/// What is there after applying, as the API server answered.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    pub claims: Vec<PersistentVolumeClaim>,
    pub stateful_set: Option<StatefulSet>,
    pub deployment: Option<Deployment>,
    /// What could not be done and does not stop the rest.
    pub notice: Option<String>,
    pub writes: u32,
}

/// Applies all children. The second part is what stopped it half-way.
pub async fn apply(
    client: &Client,
    environment: &Environment,
    observed: &Observed,
    children: Children,
) -> (Applied, Result<(), Error>) {
    let identity = &environment.identity;
    let mut writer = Writer {
        client,
        identity,
        writes: 0,
    };
    let mut applied = Applied {
        claims: observed.claims.clone(),
        stateful_set: named(&observed.stateful_sets, &identity.postgres()).cloned(),
        deployment: named(&observed.deployments, &identity.api()).cloned(),
        ..Applied::default()
    };
    let result = Box::pin(writer.all(environment, observed, children, &mut applied)).await;
    applied.writes = writer.writes;
    (applied, result)
}

struct Writer<'a> {
    client: &'a Client,
    identity: &'a Identity,
    writes: u32,
}

impl Writer<'_> {
    async fn all(
        &mut self,
        environment: &Environment,
        observed: &Observed,
        children: Children,
        applied: &mut Applied,
    ) -> Result<(), Error> {
        let wanted = orphans::Wanted::of(&children);
        let Children {
            app_secret,
            admin_secret,
            token_secret,
            patroni_state,
            service_account,
            role,
            role_binding,
            claims,
            services,
            stateful_set,
            seed_job,
            migrate_job,
            deployment,
            autoscaler,
            disruption_budget,
        } = children;
        self.ensure(app_secret, observed.app_secret.as_ref()).await?;
        self.ensure(admin_secret, observed.admin_secret.as_ref()).await?;
        if let Some(token_secret) = token_secret {
            self.ensure(token_secret, observed.token_secret.as_ref()).await?;
        }
        for config_map in patroni_state {
            self.ensure_among(config_map, &observed.config_maps).await?;
        }
        self.ensure_among(service_account, &observed.service_accounts)
            .await?;
        self.ensure_among(role, &observed.roles).await?;
        self.ensure_among(role_binding, &observed.role_bindings).await?;
        applied.claims = self.claims(claims, observed, &mut applied.notice).await?;
        for service in services {
            self.ensure_among(service, &observed.services).await?;
        }
        applied.stateful_set = Some(self.ensure_among(stateful_set, &observed.stateful_sets).await?);
        // Before their successors, which must not meet them.
        self.remove_stale_jobs(environment, observed).await?;
        self.run_job(seed_job, observed).await?;
        self.run_job(migrate_job, observed).await?;
        // An autoscaler goes before the Deployment gets a fixed number again.
        self.remove_orphans(&wanted, observed).await?;
        if let Some(deployment) = deployment {
            applied.deployment =
                Some(Box::pin(self.deployment(deployment, &environment.api.scale, observed)).await?);
        }
        if let Some(autoscaler) = autoscaler {
            self.ensure_among(autoscaler, &observed.autoscalers).await?;
        }
        self.ensure_among(disruption_budget, &observed.disruption_budgets)
            .await?;
        Ok(())
    }

    /// Claims; one that cannot grow stays as it is, and the rest goes on.
    async fn claims(
        &mut self,
        claims: Vec<PersistentVolumeClaim>,
        observed: &Observed,
        notice: &mut Option<String>,
    ) -> Result<Vec<PersistentVolumeClaim>, Error> {
        let mut applied = Vec::with_capacity(claims.len());
        for claim in claims {
            let existing = named(&observed.claims, &claim.name_any()).cloned();
            match (self.ensure(claim, existing.as_ref()).await, existing) {
                (Ok(claim), _) => applied.push(claim),
                (Err(error @ Error::Refused { .. }), Some(existing)) => {
                    *notice = Some(format!("the volume stays as it is: {error}"));
                    applied.push(existing);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(applied)
    }

    async fn ensure_among<K: Child>(&mut self, desired: K, existing: &[K]) -> Result<K, Error> {
        let existing = named(existing, &desired.name_any());
        self.ensure(desired, existing).await
    }

    /// Applies an object unless it is there already as it should be.
    async fn ensure<K: Child>(&mut self, mut desired: K, existing: Option<&K>) -> Result<K, Error> {
        let name = desired.name_any();
        let serialise = |source| Error::Serialise {
            kind: K::kind(&()).into_owned(),
            name: name.clone(),
            source,
        };
        compare::sign(&mut desired).map_err(serialise)?;
        let api: Api<K> = self.api();
        let found;
        let existing = if let Some(existing) = existing {
            Some(existing)
        } else {
            // What does not have our labels was not listed.
            found = api
                .get_opt(&name)
                .await
                .map_err(|source| write_error::<K>(&name, source))?;
            found.as_ref()
        };
        if let Some(existing) = existing {
            self.check::<K>(existing)?;
            let live = serde_json::to_value(existing).map_err(serialise)?;
            let wanted = serde_json::to_value(&desired).map_err(serialise)?;
            if compare::holds(&live, &wanted) {
                return Ok(existing.clone());
            }
        }
        self.patch(&api, MANAGER, &name, &desired).await
    }

    /// Refuses what is not ours to change.
    fn check<K: Child>(&self, existing: &K) -> Result<(), Error> {
        let (kind, name) = (K::kind(&()).into_owned(), existing.name_any());
        match self.identity.claim_on(existing.meta()) {
            Claim::Ours | Claim::Retained => Ok(()),
            Claim::Leaving => Err(Error::Leaving { kind, name }),
            Claim::Foreign => Err(Error::NameTaken { kind, name }),
        }
    }

    async fn patch<K: Child, T: Serialize + std::fmt::Debug>(
        &mut self,
        api: &Api<K>,
        manager: &str,
        name: &str,
        object: &T,
    ) -> Result<K, Error> {
        let parameters = PatchParams::apply(manager).force();
        let applied = api.patch(name, &parameters, &Patch::Apply(object)).await;
        self.writes += 1;
        tracing::info!(kind = %K::kind(&()), name, manager, "applied");
        applied.map_err(|source| write_error::<K>(name, source))
    }

    fn api<K: Child>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.identity.namespace)
    }
}

/// What the operator applies.
trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + std::fmt::Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Child for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned
{
}

fn named<'a, K: Resource>(objects: &'a [K], name: &str) -> Option<&'a K> {
    objects
        .iter()
        .find(|object| object.meta().name.as_deref() == Some(name))
}

fn write_error<K: Child>(name: &str, source: kube::Error) -> Error {
    let (kind, name) = (K::kind(&()).into_owned(), name.to_owned());
    match &source {
        kube::Error::Api(status)
            if status.message.contains("because it is being terminated")
                || (status.code == 404 && status.message.starts_with("namespaces ")) =>
        {
            Error::NamespaceEnding
        }
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => Error::Refused {
            kind,
            name,
            message: status.message.clone(),
        },
        _ => Error::Write { kind, name, source },
    }
}
