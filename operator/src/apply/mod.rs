//! Makes the cluster hold what was built: what needs each other in a fixed order and the rest at
//! once, each object only if it differs, and what is no longer wanted removed by label. Nobody
//! else's object is ever touched. Every answer goes into the store.

mod compare;
mod corrections;
mod jobs;
mod orphans;
mod pacing;
mod refresh;
mod replicas;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::join;
use k8s_openapi::DeepMerge;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::build::{Children, HTTPRoute};
use crate::crd::RatesEnvironment;
use crate::dereference::{Observed, Routes};
use crate::identity::{Claim, Identity, MANAGER};
use crate::store::{Held, Store};
use crate::validate::{Environment, VolumeIdentity};

pub use compare::DIGEST;
pub use corrections::{Contest, Corrections};
use corrections::{Turn, writer_of};
pub use pacing::Pacing;

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
    #[error(
        "the cluster has no HTTPRoute of gateway.networking.k8s.io/v1: install the Gateway API, or set spec.expose.ingress in place of spec.expose.gateway"
    )]
    NoGatewayApi,
    #[error(
        "the operator may not list {0}, and goes on without them: give it the rules of its version, in manifests/role or the chart"
    )]
    NotPermitted(String),
    #[error("the namespace is being deleted")]
    NamespaceEnding,
    #[error("the environment is gone")]
    Gone,
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
            Self::NoGatewayApi => Some("GatewayApiMissing"),
            Self::NotPermitted(_) => Some("NotPermitted"),
            Self::NamespaceEnding | Self::Gone | Self::Write { .. } | Self::Serialise { .. } => None,
        }
    }
}

/// What is there after applying, as the API server answered.
#[derive(Debug, Default)]
pub struct Applied {
    pub claims: Vec<PersistentVolumeClaim>,
    pub stateful_set: Option<StatefulSet>,
    pub deployment: Option<Deployment>,
    pub route: Option<HTTPRoute>,
    /// Whether Patroni's state of a volume that was lost is gone.
    pub forgotten: bool,
    /// Why the API could not be exposed, which does not stop the rest.
    pub unexposed: Option<Error>,
    /// What could not be done and does not stop the rest.
    pub notice: Option<String>,
    /// What somebody else changes again and again.
    pub contests: Vec<Contest>,
    /// That pods of another release of the operator wait to be replaced.
    pub waits: Option<String>,
    /// When something may be written that waits for that.
    pub held_back: Option<Duration>,
    pub writes: u32,
}

/// Applies all children. The second part is what could not be done; one failure does not stop the care for the rest.
pub async fn apply(
    client: &Client,
    store: &Store,
    (corrections, pacing): (&Corrections, &Pacing),
    environment: &Environment,
    observed: &Observed,
    children: Children,
) -> (Applied, Vec<Error>) {
    let identity = &environment.identity;
    let writer = Writer {
        client,
        store,
        corrections,
        pacing,
        identity,
        writes: AtomicU32::new(0),
        hindrances: Mutex::default(),
        exists: OnceCell::new(),
    };
    let mut applied = Applied {
        claims: observed.claims.clone(),
        stateful_set: named(&observed.stateful_sets, &identity.postgres()).cloned(),
        deployment: named(&observed.deployments, &identity.api()).cloned(),
        ..Applied::default()
    };
    let mut failures = Box::pin(writer.all(environment, observed, children, &mut applied)).await;
    failures.extend(writer.refresh_secrets(observed).await.err());
    let waits = writer.hindrances().waits;
    applied.waits = waits.then(|| writer.waits());
    applied.writes = writer.writes.into_inner();
    let hindrances = writer
        .hindrances
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    applied.contests = hindrances.told;
    applied.held_back = hindrances.held_back;
    if !hindrances.not_permitted.is_empty() {
        let kinds: Vec<String> = hindrances.not_permitted.into_iter().collect();
        failures.push(Error::NotPermitted(kinds.join(", ")));
    }
    (applied, failures)
}

struct Writer<'a> {
    client: &'a Client,
    store: &'a Store,
    corrections: &'a Corrections,
    pacing: &'a Pacing,
    identity: &'a Identity,
    writes: AtomicU32,
    hindrances: Mutex<Hindrances>,
    /// Whether the environment still is there, once it was asked.
    exists: OnceCell<bool>,
}

/// What keeps objects from being written.
#[derive(Default)]
struct Hindrances {
    told: Vec<Contest>,
    waits: bool,
    held_back: Option<Duration>,
    /// Kinds that are wanted and may not be listed.
    not_permitted: BTreeSet<String>,
}

impl Writer<'_> {
    #[expect(
        clippy::too_many_lines,
        reason = "one list of all children, in the order in which they need each other"
    )]
    async fn all(
        &self,
        environment: &Environment,
        observed: &Observed,
        children: Children,
        applied: &mut Applied,
    ) -> Vec<Error> {
        let wanted = orphans::Wanted::of(&children);
        let Children {
            app_secret,
            admin_secret,
            migrator_secret,
            token_secret,
            patroni_state,
            service_accounts,
            role,
            role_binding,
            network_policies,
            claims,
            services,
            mut stateful_set,
            seed_job,
            migrate_job,
            deployment,
            autoscaler,
            disruption_budget,
            ingress,
            route,
        } = children;
        let forgets = environment.database.volume == VolumeIdentity::Replaced { stopped: true };
        if forgets && let Err(error) = self.forget(observed).await {
            return vec![error];
        }
        let kept: &[_] = if forgets { &[] } else { &observed.config_maps };
        // None of these needs another one, but for a RoleBinding its Role. All of them are needed by pods.
        let config_maps = patroni_state
            .into_iter()
            .map(|config_map| self.ensure_among(config_map, kept));
        let services = services
            .into_iter()
            .map(|service| self.ensure_among(service, &observed.services));
        let secrets = [
            Some(app_secret),
            Some(admin_secret),
            Some(migrator_secret),
            token_secret,
        ]
        .into_iter()
        .flatten()
        .zip([
            &observed.app_secret,
            &observed.admin_secret,
            &observed.migrator_secret,
            &observed.token_secret,
        ])
        .map(|(secret, existing)| self.ensure_looked_for(secret, existing.as_ref()));
        let access = async {
            self.ensure_among(role, &observed.roles).await?;
            self.ensure_among(role_binding, &observed.role_bindings).await
        };
        let accounts = service_accounts
            .into_iter()
            .map(|account| self.ensure_among(account, &observed.service_accounts));
        let policies = network_policies
            .into_iter()
            .map(|policy| self.ensure_among(policy, &observed.network_policies));
        // All are waited for, as an answer that nobody takes would be news later.
        let (secrets, config_maps, accounts, policies, access, services, (claims, mut failures), budget) =
            Box::pin(async {
                join!(
                    join_all(secrets),
                    join_all(config_maps),
                    join_all(accounts),
                    join_all(policies),
                    access,
                    join_all(services),
                    self.claims(claims, observed, &mut applied.notice),
                    self.ensure_among(disruption_budget, &observed.disruption_budgets),
                )
            })
            .await;
        applied.claims = claims;
        applied.forgotten = forgets && config_maps.iter().all(Result::is_ok);
        failures.extend(secrets.into_iter().filter_map(Result::err));
        failures.extend(config_maps.into_iter().filter_map(Result::err));
        failures.extend(accounts.into_iter().filter_map(Result::err));
        failures.extend(policies.into_iter().filter_map(Result::err));
        failures.extend(access.err());
        failures.extend(services.into_iter().filter_map(Result::err));
        failures.extend(budget.err());
        // No pods are made without what they need; those that are there are cared for all the same.
        let may_make = failures.is_empty();
        if may_make || applied.stateful_set.is_some() {
            let existing = named(&observed.stateful_sets, &stateful_set.name_any());
            match self.has_turn(&mut stateful_set, existing) {
                Ok(true) => {
                    let made = Box::pin(self.ensure(stateful_set, existing)).await;
                    failures.extend(keep(&mut applied.stateful_set, made));
                }
                Ok(false) => {}
                Err(error) => failures.push(error),
            }
        }
        // Before their successors, which must not meet them.
        failures.extend(self.remove_stale_jobs(environment, observed).await.err());
        let may_make = may_make && applied.stateful_set.is_some();
        for job in [seed_job, migrate_job].into_iter().filter(|_| may_make) {
            failures.extend(self.run_job(job, observed).await.err());
        }
        // An autoscaler goes before the Deployment gets a fixed number again.
        failures.extend(self.remove_orphans(&wanted, observed).await.err());
        if let Some(deployment) = deployment.filter(|_| may_make || applied.deployment.is_some()) {
            let made = Box::pin(self.deployment(deployment, &environment.api.scale, observed)).await;
            failures.extend(keep(&mut applied.deployment, made));
        }
        if let Some(autoscaler) = autoscaler {
            failures.extend(self.ensure_among(autoscaler, &observed.autoscalers).await.err());
        }
        match self.exposure(ingress, route, observed).await {
            Ok(route) => applied.route = route,
            Err(error) if error.reason().is_some() => applied.unexposed = Some(error),
            Err(error) => failures.push(error),
        }
        failures
    }

    /// Removes what Patroni kept of a volume that was lost.
    async fn forget(&self, observed: &Observed) -> Result<(), Error> {
        for config_map in &observed.config_maps {
            self.delete(config_map).await?;
        }
        Ok(())
    }

    /// The way in from outside.
    async fn exposure(
        &self,
        ingress: Option<Ingress>,
        route: Option<HTTPRoute>,
        observed: &Observed,
    ) -> Result<Option<HTTPRoute>, Error> {
        if let Some(ingress) = ingress {
            self.ensure_among(ingress, &observed.ingresses).await?;
        }
        match (route, &observed.routes) {
            (None, _) => Ok(None),
            (Some(route), Routes::Found(routes)) => self.ensure_among(route, routes).await.map(Some),
            (Some(_), Routes::NoSuchKind) => Err(Error::NoGatewayApi),
        }
    }

    /// Claims; one that cannot be applied stays as it is, and the rest goes on.
    async fn claims(
        &self,
        claims: Vec<PersistentVolumeClaim>,
        observed: &Observed,
        notice: &mut Option<String>,
    ) -> (Vec<PersistentVolumeClaim>, Vec<Error>) {
        let (mut applied, mut failures) = (Vec::with_capacity(claims.len()), Vec::new());
        for claim in claims {
            let existing = named(&observed.claims, &claim.name_any()).cloned();
            match (self.ensure(claim, existing.as_ref()).await, existing) {
                (Ok(claim), _) => applied.push(claim),
                (Err(error @ Error::Refused { .. }), Some(existing)) => {
                    *notice = Some(format!("the volume stays as it is: {error}"));
                    applied.push(existing);
                }
                (Err(error), existing) => {
                    failures.push(error);
                    applied.extend(existing);
                }
            }
        }
        (applied, failures)
    }

    async fn ensure_among<K: Held + DeepMerge>(&self, desired: K, existing: &[K]) -> Result<K, Error> {
        let existing = named(existing, &desired.name_any());
        Box::pin(self.ensure(desired, existing)).await
    }

    /// Applies an object unless it is there already as it should be.
    async fn ensure<K: Held + DeepMerge>(&self, desired: K, existing: Option<&K>) -> Result<K, Error> {
        if self.store.is_forbidden::<K>() {
            self.hindrances()
                .not_permitted
                .insert(K::plural(&()).into_owned());
            return Ok(desired);
        }
        if existing.is_some() {
            return self.ensure_looked_for(desired, existing).await;
        }
        // What does not have our labels is not in the store.
        let name = desired.name_any();
        let found = self.api::<K>().get_opt(&name).await;
        let found = found.map_err(|source| write_error::<K>(&name, source))?;
        self.ensure_looked_for(desired, found.as_ref()).await
    }

    /// The same, where it is known that what is not given does not exist under any label.
    async fn ensure_looked_for<K: Held + DeepMerge>(
        &self,
        mut desired: K,
        existing: Option<&K>,
    ) -> Result<K, Error> {
        let name = desired.name_any();
        let serialise = |source| Error::Serialise {
            kind: K::kind(&()).into_owned(),
            name: name.clone(),
            source,
        };
        let digest = compare::sign(&mut desired).map_err(serialise)?;
        let Some(existing) = existing else {
            self.still_there().await?;
            return self.patch(MANAGER, &name, &desired).await;
        };
        self.check::<K>(existing)?;
        // The object that was looked at is meant, and not one that was made under its name since.
        desired.meta_mut().uid = existing.uid();
        let surplus = compare::surplus(existing, &desired).map_err(serialise)?;
        let differs = compare::difference(existing, &desired).map_err(serialise)?;
        let object = format!("{}/{}/{name}", K::kind(&()), self.identity.namespace);
        let Some(path) = surplus.as_ref().map(|(_, path)| path).or(differs.as_ref()) else {
            self.tell_contest(&object);
            return Ok(existing.clone());
        };
        let written = existing.annotations().get(DIGEST) == Some(&digest);
        match self.corrections.turn(&object, &digest, written, Instant::now()) {
            Turn::Now(times) if Corrections::is_contest(times) => {
                let contest = self.contest::<K>(&name, path).await?;
                tracing::warn!(%contest, times, "somebody writes against the operator");
                self.corrections.note(&object, contest);
            }
            Turn::Now(_) => {}
            Turn::Later(pause) => {
                self.tell_contest(&object);
                let mut hindrances = self.hindrances();
                hindrances.held_back = hindrances.held_back.into_iter().chain([pause]).min();
                return Ok(existing.clone());
            }
        }
        self.tell_contest(&object);
        if let Some((patch, _)) = surplus {
            let parameters = PatchParams {
                field_manager: Some(MANAGER.to_owned()),
                ..PatchParams::default()
            };
            self.write::<K, _>(&name, &parameters, &Patch::Merge(patch))
                .await?;
        }
        self.patch(MANAGER, &name, &desired).await
    }

    /// Who changes a field of an object.
    async fn contest<K: Held>(&self, name: &str, path: &compare::Path) -> Result<Contest, Error> {
        let found = self.api::<K>().get_metadata(name).await;
        let found = found.map_err(|source| write_error::<K>(name, source))?;
        let fields = found.metadata.managed_fields.unwrap_or_default();
        Ok(Contest {
            kind: K::kind(&()).into_owned(),
            name: name.to_owned(),
            field: path.join("."),
            manager: writer_of(&fields, path),
        })
    }

    fn tell_contest(&self, object: &str) {
        let contest = self.corrections.contest(object, Instant::now());
        self.hindrances().told.extend(contest);
    }

    fn hindrances(&self) -> std::sync::MutexGuard<'_, Hindrances> {
        self.hindrances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses to make anything for an environment that was deleted meanwhile: nothing would come
    /// and take away what is to outlive it.
    async fn still_there(&self) -> Result<(), Error> {
        let ask = async || {
            let api: Api<RatesEnvironment> = Api::namespaced(self.client.clone(), &self.identity.namespace);
            let name = &self.identity.name;
            let found = api.get_metadata_opt(name).await;
            let found = found.map_err(|source| write_error::<RatesEnvironment>(name, source))?;
            let same = |metadata: &ObjectMeta| {
                metadata.uid.as_ref() == Some(&self.identity.uid) && metadata.deletion_timestamp.is_none()
            };
            Ok::<_, Error>(found.is_some_and(|found| same(&found.metadata)))
        };
        if *self.exists.get_or_try_init(ask).await? {
            Ok(())
        } else {
            Err(Error::Gone)
        }
    }

    /// Refuses what is not ours to change.
    fn check<K: Held>(&self, existing: &K) -> Result<(), Error> {
        let (kind, name) = (K::kind(&()).into_owned(), existing.name_any());
        match self.identity.claim_on(existing.meta()) {
            Claim::Ours | Claim::Retained => Ok(()),
            Claim::Leaving => Err(Error::Leaving { kind, name }),
            Claim::Foreign => Err(Error::NameTaken { kind, name }),
        }
    }

    async fn patch<K: Held, T: Serialize + std::fmt::Debug>(
        &self,
        manager: &str,
        name: &str,
        object: &T,
    ) -> Result<K, Error> {
        let parameters = PatchParams::apply(manager).force();
        self.write(name, &parameters, &Patch::Apply(object)).await
    }

    async fn write<K: Held, T: Serialize + std::fmt::Debug>(
        &self,
        name: &str,
        parameters: &PatchParams,
        patch: &Patch<T>,
    ) -> Result<K, Error> {
        let written = self.api::<K>().patch(name, parameters, patch).await;
        self.count();
        let written = written.map_err(|source| write_error::<K>(name, source))?;
        self.store.put(&written);
        let manager = parameters.field_manager.as_deref();
        tracing::info!(kind = %K::kind(&()), name, manager, "applied");
        Ok(written)
    }

    fn count(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    fn api<K: Held>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.identity.namespace)
    }
}

/// Takes note of what was applied; gives why it was not.
fn keep<T>(place: &mut Option<T>, made: Result<T, Error>) -> Option<Error> {
    match made {
        Ok(made) => *place = Some(made),
        Err(error) => return Some(error),
    }
    None
}

fn named<'a, K: Resource>(objects: &'a [K], name: &str) -> Option<&'a K> {
    objects
        .iter()
        .find(|object| object.meta().name.as_deref() == Some(name))
}

fn write_error<K: Held>(name: &str, source: kube::Error) -> Error {
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
