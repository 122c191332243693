//! Makes the cluster hold what was built: what needs each other in a fixed order and the rest at
//! once, each object only if it differs, and what is no longer wanted removed by label. Nobody
//! else's object is ever touched. Every answer goes into the cache.

mod compare;
mod corrections;
mod error;
mod jobs;
mod orphans;
mod pacing;
mod refresh;
mod replicas;
mod replication;
mod templates;
mod writer;

use std::time::Duration;

use futures::future::join_all;
use futures::join;
use k8s_openapi::DeepMerge;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Secret};
use k8s_openapi::api::networking::v1::Ingress;
use kube::{Client, Resource, ResourceExt};

use crate::build::{Children, DeploymentChild};
use crate::cache::{Cache, Cached};
use crate::http_route::HTTPRoute;
use crate::observed::{Observed, Optional};
use crate::plan::replication::PrimaryChange;
use crate::plan::{Environment, VolumeIdentity};
use crate::pod_monitor::PodMonitor;

pub use corrections::{Contest, Corrections};
pub use error::Error;
pub use pacing::Pacing;
pub use replication::{carry_out, relieve, remove_annotations};
use writer::{Writer, named};

/// What is there after applying, as the API server answered.
#[derive(Debug, Default)]
pub struct Applied {
    pub claims: Vec<PersistentVolumeClaim>,
    pub stateful_set: Option<StatefulSet>,
    pub deployments: Vec<Deployment>,
    pub route: Option<HTTPRoute>,
    /// Whether Patroni's state of a volume that was lost is gone.
    pub forgotten: bool,
    /// Why the API could not be exposed, which does not stop the rest.
    pub unexposed: Option<Error>,
    /// Why PodMonitors could not be made, which does not stop the rest.
    pub unmonitored: Option<Error>,
    /// What could not be done and does not stop the rest.
    pub notice: Option<String>,
    /// What somebody else changes again and again.
    pub contests: Vec<Contest>,
    /// That pods of another release of the operator wait to be replaced.
    pub waits: Option<String>,
    /// When something may be written that waits for that.
    pub held_back: Option<Duration>,
    /// That another instance is the primary now.
    pub primary_change: Option<PrimaryChange>,
    pub writes: u32,
}

impl Applied {
    /// A Deployment by its name.
    #[must_use]
    pub fn deployment(&self, name: &str) -> Option<&Deployment> {
        named(&self.deployments, name)
    }
}

/// Applies all children. The second part is what could not be done; one failure does not stop the care for the rest.
pub async fn apply(
    client: &Client,
    cache: &Cache,
    (corrections, pacing): (&Corrections, &Pacing),
    environment: &Environment,
    observed: &Observed,
    children: Children,
) -> (Applied, Vec<Error>) {
    let writer = Writer::new(client, cache, (corrections, pacing), &environment.identity);
    let mut applied = Applied {
        claims: observed.claims.clone(),
        stateful_set: observed.stateful_set().cloned(),
        deployments: observed.deployments.clone(),
        ..Applied::default()
    };
    let mut failures = Box::pin(writer.all(environment, observed, children, &mut applied)).await;
    failures.extend(writer.refresh_secrets(observed).await.err());
    let leftovers = &environment.replication.leftovers;
    failures.extend(writer.remove_leftovers(leftovers, observed).await.err());
    let (number, hindrances) = writer.finish();
    applied.writes = number;
    applied.waits = hindrances.waits.then(|| pacing.waits());
    applied.contests = hindrances.told;
    applied.held_back = hindrances.held_back;
    if !hindrances.not_permitted.is_empty() {
        let kinds: Vec<String> = hindrances.not_permitted.into_iter().collect();
        failures.push(Error::NotPermitted(kinds.join(", ")));
    }
    (applied, failures)
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
            copy_secret,
            patroni_state,
            service_accounts,
            role,
            role_binding,
            network_policies,
            claims,
            services,
            endpoint_slices,
            mut stateful_set,
            seed_job,
            migrate_job,
            deployments,
            autoscalers,
            disruption_budgets,
            ingress,
            route,
            pod_monitors,
        } = children;
        let forgets = environment.database.volume == VolumeIdentity::Replaced { stopped: true };
        if forgets && let Err(error) = self.forget(observed).await {
            return vec![error];
        }
        let kept: &[_] = if forgets { &[] } else { &observed.config_maps };
        let secrets = [
            (Some(app_secret), &observed.app_secret),
            (Some(admin_secret), &observed.admin_secret),
            (Some(migrator_secret), &observed.migrator_secret),
            (token_secret, &observed.token_secret),
        ];
        let secrets = secrets
            .into_iter()
            .filter_map(|(secret, existing)| Some((secret?, existing.as_ref())))
            .map(|(secret, existing)| self.ensure_looked_for(secret, existing));
        let copy = self.copy_secret(copy_secret, observed);
        let access = async {
            self.ensure_among(role, &observed.roles).await?;
            self.ensure_among(role_binding, &observed.role_bindings).await
        };
        // None of these needs another one, but for a RoleBinding its Role. All of them are needed by pods. All are waited
        // for, as an answer that nobody takes would be news later.
        // The way to the activator is there before the API's pods go.
        let (
            secrets,
            copy,
            config_maps,
            accounts,
            policies,
            access,
            services,
            slices,
            (claims, mut failures),
            budgets,
        ) = Box::pin(async {
            join!(
                join_all(secrets),
                copy,
                self.ensure_each(patroni_state, kept),
                self.ensure_each(service_accounts, &observed.service_accounts),
                self.ensure_each(network_policies, &observed.network_policies),
                access,
                self.ensure_each(services, &observed.services),
                self.ensure_each(endpoint_slices, &observed.endpoint_slices),
                self.claims(claims, observed, &mut applied.notice),
                self.ensure_each(disruption_budgets, &observed.disruption_budgets),
            )
        })
        .await;
        applied.claims = claims;
        applied.forgotten = forgets && config_maps.is_empty();
        failures.extend(secrets.into_iter().filter_map(Result::err));
        failures.extend(copy.err());
        failures.extend([config_maps, accounts, policies].into_iter().flatten());
        failures.extend(access.err());
        failures.extend([services, slices, budgets].into_iter().flatten());
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
        for DeploymentChild { deployment, scale } in deployments {
            let name = deployment.name_any();
            if !may_make && applied.deployment(&name).is_none() {
                continue;
            }
            match Box::pin(self.deployment(deployment, &scale, observed)).await {
                Ok(made) => {
                    applied.deployments.retain(|known| known.name_any() != name);
                    applied.deployments.push(made);
                }
                Err(error) => failures.push(error),
            }
        }
        failures.extend(self.ensure_each(autoscalers, &observed.autoscalers).await);
        match self.exposure(ingress, route, observed).await {
            Ok(route) => applied.route = route,
            Err(error) if error.reason().is_some() => applied.unexposed = Some(error),
            Err(error) => failures.push(error),
        }
        for error in self.pod_monitors(pod_monitors, observed).await {
            if error.reason().is_some() {
                applied.unmonitored = Some(error);
            } else {
                failures.push(error);
            }
        }
        failures
    }

    /// Applies several objects of a kind at once; gives why some were not.
    async fn ensure_each<K: Cached + DeepMerge>(&self, desired: Vec<K>, existing: &[K]) -> Vec<Error> {
        let each = desired
            .into_iter()
            .map(|child| self.ensure_among(child, existing));
        join_all(each).await.into_iter().filter_map(Result::err).collect()
    }

    /// The login that copies another environment's data: gone when nothing is copied any more.
    async fn copy_secret(&self, desired: Option<Secret>, observed: &Observed) -> Result<(), Error> {
        let existing = observed.copy_secret.as_ref();
        match (desired, existing) {
            (Some(secret), existing) => self.ensure(secret, existing).await.map(drop),
            (None, Some(existing)) if self.is_of_environment(existing) => self.delete(existing).await,
            (None, _) => Ok(()),
        }
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
            (Some(route), Optional::Found(routes)) => self.ensure_among(route, routes).await.map(Some),
            (Some(_), Optional::NoSuchKind) => Err(Error::NoGatewayApi),
        }
    }

    /// What the Prometheus operator is told; gives why some of it was not.
    async fn pod_monitors(&self, desired: Vec<PodMonitor>, observed: &Observed) -> Vec<Error> {
        if desired.is_empty() {
            return Vec::new();
        }
        match &observed.pod_monitors {
            Optional::NoSuchKind => vec![Error::NoPodMonitors],
            Optional::Found(_) if self.cache.is_forbidden::<PodMonitor>() => {
                vec![Error::NotPermitted(PodMonitor::plural(&()).into_owned())]
            }
            Optional::Found(existing) => self.ensure_each(desired, existing).await,
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
}

/// Takes note of what was applied; gives why it was not.
fn keep<T>(place: &mut Option<T>, made: Result<T, Error>) -> Option<Error> {
    match made {
        Ok(made) => *place = Some(made),
        Err(error) => return Some(error),
    }
    None
}
