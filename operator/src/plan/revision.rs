//! What the API's pods are made of, which a rollout changes: what the specification says; what ran
//! before, until the tables are ready for that; or what last ran completely, where the
//! specification's does not work and `onFailure` is `RollBack`.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{EnvVar, Pod};
use kube::ResourceExt;

use super::activity::Activity;
use super::invalid::Invalid;
use super::jobs::{Migration, Seeding};
use super::profile::Amounts;
use super::resources::Resources;
use super::variables;
use crate::annotations::{REVISION, WRITTEN_REVISION};
use crate::crd::{self, ApiStatus, FailedRollout, OnFailure};
use crate::digest::short_digest;
use crate::identity::Component;
use crate::observed::Observed;
use crate::pods::{self, failure, is_ready, primary};
use crate::reason::Reason;

/// What pods are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// As it is written in a specification.
    pub written: crd::Revision,
    pub digest: String,
    /// Settings and variables.
    pub variables: Vec<EnvVar>,
    pub resources: Resources,
}

/// What the pods are to be made of.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutPlan {
    /// `None`: there is to be no Deployment yet.
    pub revision: Option<Revision>,
    /// The rollout that was taken back for it.
    pub failed: Option<FailedRollout>,
}

impl Revision {
    fn of(written: crd::Revision, defaults: &Amounts) -> Result<Self, Invalid> {
        Ok(Self {
            digest: digest(&written),
            variables: variables::of(&written.config, &written.env),
            resources: Resources::of(written.resources.as_ref(), "api.resources", defaults)?,
            written,
        })
    }
}

fn digest(written: &crd::Revision) -> String {
    // Nothing in it has keys that are not text.
    short_digest(&[&serde_json::to_vec(written).unwrap_or_default()])
}

/// What decides about a rollout, all of it read already.
pub(super) struct Rolling<'a> {
    pub observed: &'a Observed,
    /// The image that the specification asks for.
    pub image: &'a str,
    pub pinned: Option<&'a ApiStatus>,
    pub activity: Activity,
    pub seeding: &'a Seeding,
    pub migration: &'a Migration,
    pub now: Timestamp,
    pub defaults: &'a Amounts,
}

impl Rolling<'_> {
    pub(super) fn rollout(&self) -> Result<RolloutPlan, Invalid> {
        let spec = &self.observed.environment.spec.api;
        let wanted = crd::Revision {
            image: self.image.to_owned(),
            config: spec.config.clone(),
            env: spec.env.clone(),
            resources: spec.resources.clone(),
        };
        // Checked also while something else runs, so that a mistake is told at once.
        let wanted = Revision::of(wanted, self.defaults)?;
        let (revision, failed) = match (self.instead_of(&wanted), self.migration) {
            (Some((working, failed)), _) => (Some(Revision::of(working, self.defaults)?), Some(failed)),
            (None, Migration::Done(_)) => (Some(wanted), None),
            (None, Migration::Waiting | Migration::Run(_)) => match self.running(&wanted) {
                Some(running) => (Some(Revision::of(running, self.defaults)?), None),
                None => (loads_soon(self.seeding).then_some(wanted), None),
            },
        };
        Ok(RolloutPlan { revision, failed })
    }

    /// What to go back to, and why, where the wanted does not work.
    fn instead_of(&self, wanted: &Revision) -> Option<(crd::Revision, FailedRollout)> {
        if self.observed.environment.spec.api.rollout.on_failure == OnFailure::Hold {
            return None;
        }
        let working = self.pinned?.last_complete_revision.clone()?;
        if working == wanted.written {
            return None;
        }
        let known = self.pinned?.failed_rollout.clone();
        let failed = known
            .filter(|failed| failed.revision == wanted.digest)
            .or_else(|| self.failure(&wanted.digest))?;
        Some((working, failed))
    }

    /// Whether the rollout to a revision, which is under way, will not come to an end.
    fn failure(&self, digest: &str) -> Option<FailedRollout> {
        if !matches!(self.activity, Activity::Running | Activity::Waking) {
            return None;
        }
        let (reason, message) = match self.migration {
            Migration::Done(_) => self.failure_of_its_pods(digest)?,
            // Its image is first pulled for its migrations.
            Migration::Run(run) => {
                let job = self.observed.identity.migrate_job(&run.hash);
                let failure = failure::lasting(pods::of_job(self.observed, &job)?, self.now)?;
                (failure.reason, failure.message)
            }
            Migration::Waiting => return None,
        };
        Some(FailedRollout {
            revision: digest.to_owned(),
            reason: reason.as_str().to_owned(),
            message,
        })
    }

    fn failure_of_its_pods(&self, digest: &str) -> Option<(Reason, String)> {
        // Without a database no pod gets ready, whatever it is made of.
        primary(self.observed)?;
        let deployment = self.observed.deployment()?;
        if revision_of_template(deployment) != Some(digest) {
            return None;
        }
        let of_it = |pod: &&Pod| pod.annotations().get(REVISION).is_some_and(|of| of == digest);
        let pods = pods::of(self.observed, Component::Api).filter(|pod| !is_ready(pod));
        let broken = pods
            .filter(of_it)
            .find_map(|pod| failure::lasting(pod, self.now))
            .map(|failure| (failure.reason, failure.message));
        broken.or_else(|| {
            pods::deadline_exceeded(deployment).then(|| {
                let message = "its pods did not get ready in time".to_owned();
                (Reason::RolloutStuck, message)
            })
        })
    }

    /// What the Deployment was last given.
    fn running(&self, wanted: &Revision) -> Option<crd::Revision> {
        let deployment = self.observed.deployment()?;
        let image = image_of_template(deployment)?;
        let written = deployment.annotations().get(WRITTEN_REVISION);
        // Before there was the annotation, the status alone knew.
        let known = written
            .and_then(|written| serde_json::from_str(written).ok())
            .or_else(|| self.pinned.and_then(|api| api.revision.clone()));
        Some(known.unwrap_or_else(|| crd::Revision {
            image: image.to_owned(),
            ..wanted.written.clone()
        }))
    }
}

/// Whether the first pods may start beside the load, and wait for the tables: they are not ready
/// before, and start by the time that the data are there. A Job that runs for long is waited for.
fn loads_soon(seeding: &Seeding) -> bool {
    match seeding {
        Seeding::Run { source, run } => run.attempt == 1 && source.is_small(),
        Seeding::Done(_) | Seeding::Waiting(_) | Seeding::Blocked(_) | Seeding::Failed { .. } => false,
    }
}

/// What a Deployment's template says that its pods are made of.
#[must_use]
pub fn revision_of_template(deployment: &Deployment) -> Option<&str> {
    let template = deployment.spec.as_ref()?.template.metadata.as_ref()?;
    template.annotations.as_ref()?.get(REVISION).map(String::as_str)
}

fn image_of_template(deployment: &Deployment) -> Option<&str> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    pod.containers.first()?.image.as_deref()
}
