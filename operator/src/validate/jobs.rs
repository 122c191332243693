//! How far the database is: what its Jobs reported, and what is to run next.
//!
//! A Job is one attempt (its `backoffLimit` is 0). Its name is a hash of its inputs, so that
//! nothing runs twice for the same ones; an attempt that was lost is replaced under its name.
//! Pods are asked before Jobs, as the Job controller tells a second later.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt;
use serde::Deserialize;

use super::Database;
use crate::crd::{DatabaseStatus, SchemaStatus, Seed, SeedStatus};
use crate::dereference::{Dump, Observed, short_digest};
use crate::identity::{COMPONENT_LABEL, Component};

/// The annotation in which a Job counts the attempts at its inputs.
pub const ATTEMPT: &str = "rates.internal/attempt";
/// The container whose failure is the dump's own fault.
pub const LOAD: &str = "load";

/// Where a new database's data come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SeedSource {
    Nothing,
    Bundled,
    ConfigMap { name: String, key: String },
}

impl SeedSource {
    fn of(seed: Option<&Seed>) -> Self {
        match seed {
            Some(Seed {
                config_map: Some(source),
                ..
            }) => Self::ConfigMap {
                name: source.name.clone(),
                key: source.key.clone(),
            },
            Some(Seed { bundled: Some(_), .. }) => Self::Bundled,
            Some(_) | None => Self::Nothing,
        }
    }

    /// As the marker in the database and the status name it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Nothing => "none".to_owned(),
            Self::Bundled => "bundled".to_owned(),
            Self::ConfigMap { name, key } => format!("configMap:{name}/{key}"),
        }
    }
}

/// One attempt at a Job's inputs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JobRun {
    pub hash: String,
    pub attempt: u32,
    /// The lost attempt, by uid, that this one takes the place of.
    pub replaces: Option<String>,
    /// Not to be started earlier; the lost attempt stays until then.
    pub not_before: Option<Timestamp>,
    /// What the lost attempt said.
    pub failure: Option<String>,
}

/// How far the data are.
#[derive(Clone, Debug, PartialEq)]
pub enum Seeding {
    Done(SeedStatus),
    Run {
        source: SeedSource,
        run: JobRun,
    },
    /// Something is missing that will come by itself.
    Waiting(&'static str),
    /// Something is missing that a person has to bring.
    Blocked(String),
    /// The dump cannot be loaded; tried again when the inputs, and with them the hash, change.
    Failed {
        source: SeedSource,
        hash: String,
        message: String,
    },
}

/// How far the tables are.
#[derive(Clone, Debug, PartialEq)]
pub enum Migration {
    Done(SchemaStatus),
    Run(JobRun),
    /// For the data.
    Waiting,
}

/// What a Job's container leaves in its termination message.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
enum Report {
    #[serde(rename_all = "camelCase")]
    Succeeded {
        source: Option<String>,
        checksum: Option<String>,
        #[serde(default)]
        rows: i64,
        #[serde(default)]
        seconds: f64,
        schema_version: Option<i64>,
    },
    Failed {
        message: String,
        /// Set where the failure says nothing about the inputs: the server went away.
        #[serde(default)]
        retry: bool,
    },
}

/// How a Job stands.
#[derive(Clone, Debug)]
pub enum Judgement {
    Active,
    Succeeded(Success),
    /// A container said what is wrong.
    Failed(Failure),
    /// The attempt was lost: its pod was deleted, evicted or killed.
    Lost {
        ended: Timestamp,
    },
}

#[derive(Clone, Debug, Default)]
pub struct Success {
    source: Option<String>,
    checksum: Option<String>,
    rows: i64,
    seconds: f64,
    schema_version: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct Failure {
    container: String,
    message: String,
    retry: bool,
    started: Option<Timestamp>,
    ended: Timestamp,
}

/// What decides about Jobs, all of it read already.
pub struct Progress<'a> {
    pub observed: &'a Observed,
    pub database: &'a Database,
    pub pinned: &'a DatabaseStatus,
    pub api_image: &'a str,
    pub now: Timestamp,
}

impl Progress<'_> {
    pub fn seeding(&self) -> Seeding {
        let Some(claim_uid) = &self.database.claim_uid else {
            return Seeding::Waiting("the volume");
        };
        if let Some(seed) = self
            .pinned
            .seed
            .as_ref()
            .filter(|seed| seed.claim_uid.as_ref() == Some(claim_uid))
        {
            return Seeding::Done(seed.clone());
        }
        let source = SeedSource::of(self.observed.environment.spec.database.seed.as_ref());
        let digest = match self.digest(&source) {
            Ok(digest) => digest,
            Err(message) => return Seeding::Blocked(message),
        };
        let hash = short_digest(
            &[
                &source.describe(),
                digest,
                self.api_image,
                &self.database.image,
                claim_uid,
            ]
            .map(str::as_bytes),
        );
        let name = self.observed.identity.seed_job(&hash);
        let Some(job) = self.job(&name) else {
            if self.other_attempt_runs(Component::Seed, &name) {
                return Seeding::Waiting("the attempt with the earlier inputs to end");
            }
            return Seeding::Run {
                source,
                run: JobRun::first(hash),
            };
        };
        match judge(job, &self.observed.pods) {
            Judgement::Succeeded(success) => Seeding::Done(SeedStatus {
                source: success.source.unwrap_or_else(|| source.describe()),
                checksum: success.checksum,
                rows: success.rows,
                seconds: success.seconds,
                claim_uid: Some(claim_uid.clone()),
            }),
            Judgement::Failed(failure) if self.is_the_dumps_fault(&failure) => Seeding::Failed {
                source,
                hash,
                message: failure.message,
            },
            Judgement::Failed(failure) => Seeding::Run {
                source,
                run: JobRun::next(hash, job, failure.ended, Some(failure.message), self.now),
            },
            Judgement::Lost { ended } => Seeding::Run {
                source,
                run: JobRun::next(hash, job, ended, None, self.now),
            },
            Judgement::Active => Seeding::Run {
                source,
                run: JobRun::current(hash, job),
            },
        }
    }

    pub fn migration(&self, seeding: &Seeding) -> Migration {
        let (Seeding::Done(_), Some(claim_uid)) = (seeding, &self.database.claim_uid) else {
            return Migration::Waiting;
        };
        let migrated = |schema: &&SchemaStatus| {
            schema.image == self.api_image && schema.claim_uid.as_ref() == Some(claim_uid)
        };
        if let Some(schema) = self.pinned.schema.as_ref().filter(migrated) {
            return Migration::Done(schema.clone());
        }
        let hash = short_digest(&[self.api_image, claim_uid].map(str::as_bytes));
        let Some(job) = self.job(&self.observed.identity.migrate_job(&hash)) else {
            return Migration::Run(JobRun::first(hash));
        };
        match judge(job, &self.observed.pods) {
            Judgement::Succeeded(success) => Migration::Done(SchemaStatus {
                version: success.schema_version,
                image: self.api_image.to_owned(),
                claim_uid: Some(claim_uid.clone()),
            }),
            Judgement::Failed(failure) => Migration::Run(JobRun::next(
                hash,
                job,
                failure.ended,
                Some(failure.message),
                self.now,
            )),
            Judgement::Lost { ended } => Migration::Run(JobRun::next(hash, job, ended, None, self.now)),
            Judgement::Active => Migration::Run(JobRun::current(hash, job)),
        }
    }

    fn digest(&self, source: &SeedSource) -> Result<&str, String> {
        let SeedSource::ConfigMap { name, key } = source else {
            return Ok("");
        };
        match &self.observed.dump {
            Dump::Found { digest } => Ok(digest),
            Dump::NoKey(keys) => {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                Err(format!(
                    "ConfigMap {name} has no key {key:?}, but: {}; correct spec.database.seed.configMap.key or the ConfigMap",
                    if keys.is_empty() {
                        "none at all".to_owned()
                    } else {
                        keys.join(", ")
                    }
                ))
            }
            Dump::NoConfigMap | Dump::NotNeeded => Err(format!(
                "there is no ConfigMap {name} in namespace {}: create it, or correct spec.database.seed.configMap.name",
                self.observed.identity.namespace
            )),
        }
    }

    fn job(&self, name: &str) -> Option<&Job> {
        self.observed.jobs.iter().find(|job| job.name_any() == name)
    }

    fn other_attempt_runs(&self, component: Component, name: &str) -> bool {
        self.observed.pods.iter().any(|pod| {
            let labels = pod.labels();
            labels
                .get(COMPONENT_LABEL)
                .is_some_and(|label| label == component.as_str())
                && labels
                    .get("batch.kubernetes.io/job-name")
                    .is_some_and(|job| job != name)
                && !has_ended(pod)
        })
    }

    /// A dump is at fault only if the server was up all the while it was loaded.
    fn is_the_dumps_fault(&self, failure: &Failure) -> bool {
        if failure.container != LOAD || failure.retry {
            return false;
        }
        let pod = self.observed.identity.postgres_pod(0);
        let server = self.observed.pods.iter().find(|other| other.name_any() == pod);
        let running_since = server.and_then(|pod| {
            let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
            let postgres = statuses.iter().find(|status| status.name == "postgres")?;
            Some(postgres.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0)
        });
        match (running_since, failure.started) {
            (Some(server), Some(load)) => server <= load,
            (server, _) => server.is_some(),
        }
    }
}

impl JobRun {
    fn first(hash: String) -> Self {
        Self {
            hash,
            attempt: 1,
            replaces: None,
            not_before: None,
            failure: None,
        }
    }

    fn current(hash: String, job: &Job) -> Self {
        Self {
            attempt: attempt_of(job),
            ..Self::first(hash)
        }
    }

    /// The attempt after a lost one: twice at once, then after growing pauses.
    fn next(hash: String, job: &Job, ended: Timestamp, failure: Option<String>, now: Timestamp) -> Self {
        let lost = attempt_of(job);
        let pause = if lost < 2 { 0 } else { 1_i64 << (lost - 2).min(6) };
        let due = ended
            .saturating_add(SignedDuration::from_secs(pause))
            .unwrap_or(now);
        Self {
            hash,
            attempt: lost + 1,
            replaces: (due <= now).then(|| job.uid()).flatten(),
            not_before: (due > now).then_some(due),
            failure,
        }
    }
}

fn attempt_of(job: &Job) -> u32 {
    job.annotations()
        .get(ATTEMPT)
        .and_then(|attempt| attempt.parse().ok())
        .unwrap_or(1)
}

/// Reads how a Job stands from its pods and, where they are gone, from itself.
#[must_use]
pub fn judge(job: &Job, pods: &[Pod]) -> Judgement {
    let own: Vec<&Pod> = pods
        .iter()
        .filter(|pod| {
            pod.owner_references()
                .iter()
                .any(|owner| Some(&owner.uid) == job.uid().as_ref())
        })
        .collect();
    if let Some(success) = own.iter().find_map(|pod| success(pod)) {
        return Judgement::Succeeded(success);
    }
    if let Some(failure) = own.iter().find_map(|pod| failure(pod)) {
        return Judgement::Failed(failure);
    }
    let condition = job
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .find(|condition| {
            condition.status == "True" && matches!(condition.type_.as_str(), "Complete" | "Failed")
        });
    let ended_pod = own.iter().find(|pod| has_ended(pod));
    match (condition, ended_pod) {
        // Also one that succeeded and whose report is gone: the next attempt reports what is there.
        (Some(condition), _) => {
            let ended = condition
                .last_transition_time
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
            Judgement::Lost { ended }
        }
        (None, Some(pod)) if own.len() == 1 => Judgement::Lost { ended: ended_at(pod) },
        (None, _) => Judgement::Active,
    }
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn success(pod: &Pod) -> Option<Success> {
    let status = pod
        .status
        .as_ref()
        .filter(|status| status.phase.as_deref() == Some("Succeeded"))?;
    let last = terminated(status.container_statuses.as_deref()?.first()?)?;
    match serde_json::from_str(last.message.as_deref()?).ok()? {
        Report::Succeeded {
            source,
            checksum,
            rows,
            seconds,
            schema_version,
        } => Some(Success {
            source,
            checksum,
            rows,
            seconds,
            schema_version,
        }),
        Report::Failed { .. } => None,
    }
}

fn failure(pod: &Pod) -> Option<Failure> {
    let status = pod
        .status
        .as_ref()
        .filter(|status| status.phase.as_deref() == Some("Failed"))?;
    let containers = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    containers.into_iter().find_map(|container| {
        let terminated = terminated(container)?;
        match serde_json::from_str(terminated.message.as_deref()?).ok()? {
            Report::Failed { message, retry } => Some(Failure {
                container: container.name.clone(),
                message,
                retry,
                started: terminated.started_at.as_ref().map(|time| time.0),
                ended: terminated
                    .finished_at
                    .as_ref()
                    .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            }),
            Report::Succeeded { .. } => None,
        }
    })
}

fn terminated(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.state.as_ref()?.terminated.as_ref()
}

fn ended_at(pod: &Pod) -> Timestamp {
    let containers = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    let ends = containers.filter_map(|container| Some(terminated(container)?.finished_at.as_ref()?.0));
    ends.max().unwrap_or(Timestamp::UNIX_EPOCH)
}
