//! How far the database is: what its Jobs reported, and what is to run next.
//!
//! A Job is one attempt (its `backoffLimit` is 0). Its name is a hash of its inputs, so that
//! nothing runs twice for the same ones; an attempt that was lost is replaced under its name.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::activity::Activity;
use super::database::Database;
use super::pods::JobPods;
use crate::annotations::{ATTEMPT, LAST_FAILURE};
use crate::crd::{DatabaseStatus, SchemaStatus, Seed, SeedStatus};
use crate::digest::short_digest;
use crate::identity::{COMPONENT_LABEL, Component};
use crate::observed::{Dump, Observed};
use crate::pods::job_outcome::{Failure, Judgement, LOAD, has_ended, judge};

/// Enough for psql's own words.
const LONGEST_FAILURE: usize = 2000;

/// Where a new database's data come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SeedSource {
    Nothing,
    Bundled,
    ConfigMap { name: String, key: String },
    Url { url: String, sha256: String },
    Claim { claim: String, path: String },
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
            Some(Seed {
                url: Some(source), ..
            }) => Self::Url {
                url: source.url.clone(),
                sha256: source.sha256.clone(),
            },
            Some(Seed {
                persistent_volume_claim: Some(source),
                ..
            }) => Self::Claim {
                claim: source.claim_name.clone(),
                path: source.path.clone(),
            },
            Some(Seed { bundled: Some(_), .. }) => Self::Bundled,
            Some(_) | None => Self::Nothing,
        }
    }

    /// Whether it is loaded within seconds: the project's own dump, and what fits into a `ConfigMap`.
    #[must_use]
    pub const fn is_small(&self) -> bool {
        match self {
            Self::Nothing | Self::Bundled | Self::ConfigMap { .. } => true,
            Self::Url { .. } | Self::Claim { .. } => false,
        }
    }

    /// As the marker in the database and the status name it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Nothing => "none".to_owned(),
            Self::Bundled => "bundled".to_owned(),
            Self::ConfigMap { name, key } => format!("configMap:{name}/{key}"),
            // A query may hold a signature.
            Self::Url { url, .. } => {
                format!("url:{}", url.split(['?', '#']).next().unwrap_or_default())
            }
            Self::Claim { claim, path } => format!("persistentVolumeClaim:{claim}/{path}"),
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
    /// What the attempt before this one said.
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
    /// For the data, or to be resumed.
    Waiting,
}

impl Migration {
    /// The inputs of the Job that is still to find that nothing is left to do, where there is one: it was
    /// started beside the load, and the data came migrated.
    #[must_use]
    pub fn hash_beside(&self, pods: &JobPods) -> Option<String> {
        match self {
            Self::Done(schema) => Some(migration_hash(&schema.image, schema.claim_uid.as_ref()?, pods)),
            Self::Run(_) | Self::Waiting => None,
        }
    }
}

fn migration_hash(image: &str, claim_uid: &str, pods: &JobPods) -> String {
    hash(&[image, claim_uid], pods)
}

/// What the specification says of the pods is an input where it says something: a Job whose pod finds no
/// node is then made anew once that is corrected.
fn hash(inputs: &[&str], pods: &JobPods) -> String {
    let inputs = inputs.iter().copied().chain(pods.digest.as_deref());
    short_digest(&inputs.map(str::as_bytes).collect::<Vec<_>>())
}

/// What decides about Jobs, all of it read already.
pub struct Progress<'a> {
    pub observed: &'a Observed,
    pub database: &'a Database,
    pub pods: &'a JobPods,
    pub pinned: &'a DatabaseStatus,
    pub api_image: &'a str,
    pub activity: Activity,
    pub now: Timestamp,
}

impl Progress<'_> {
    pub fn seeding(&self) -> Seeding {
        match self.seeding_of_a_running_one() {
            Seeding::Run { .. } if !self.activity.allows_jobs() => {
                Seeding::Waiting("the environment to be resumed")
            }
            seeding => seeding,
        }
    }

    fn seeding_of_a_running_one(&self) -> Seeding {
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
        let hash = match self.seed_hash(&source, claim_uid) {
            Ok(hash) => hash,
            Err(message) => return Seeding::Blocked(message),
        };
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
        match self.migration_of_a_running_one(seeding) {
            Migration::Run(_) if !self.activity.allows_jobs() => Migration::Waiting,
            migration => migration,
        }
    }

    /// The tables that this volume is known to hold.
    pub fn migrated(&self) -> Option<&SchemaStatus> {
        let schema = self.pinned.schema.as_ref()?;
        let claim = self.database.claim_uid.as_ref()?;
        (schema.claim_uid.as_ref() == Some(claim)).then_some(schema)
    }

    fn migration_of_a_running_one(&self, seeding: &Seeding) -> Migration {
        // Beside a load that takes seconds it may start at once: it waits for the database to appear.
        let starts = match seeding {
            Seeding::Done(_) => true,
            Seeding::Run { source, .. } => source.is_small(),
            Seeding::Waiting(_) | Seeding::Blocked(_) | Seeding::Failed { .. } => false,
        };
        let Some(claim_uid) = self.database.claim_uid.as_ref().filter(|_| starts) else {
            return Migration::Waiting;
        };
        match self.migrated() {
            Some(schema) if schema.image == self.api_image => return Migration::Done(schema.clone()),
            Some(_) => {}
            None => {
                if let Some(schema) = self.published(seeding, claim_uid) {
                    return Migration::Done(schema);
                }
            }
        }
        let hash = migration_hash(self.api_image, claim_uid, self.pods);
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

    /// What the seed's own report says of the tables: publishing migrates them, by the same image. Not so where
    /// the database was there already, by another attempt and perhaps another image.
    fn published(&self, seeding: &Seeding, claim_uid: &str) -> Option<SchemaStatus> {
        if !matches!(seeding, Seeding::Done(_)) {
            return None;
        }
        let source = SeedSource::of(self.observed.environment.spec.database.seed.as_ref());
        let hash = self.seed_hash(&source, claim_uid).ok()?;
        let job = self.job(&self.observed.identity.seed_job(&hash))?;
        match judge(job, &self.observed.pods) {
            Judgement::Succeeded(success) if !success.already_seeded => Some(SchemaStatus {
                version: Some(success.schema_version?),
                image: self.api_image.to_owned(),
                claim_uid: Some(claim_uid.to_owned()),
            }),
            _ => None,
        }
    }

    /// The inputs of a seed Job; an error names one that a person has to bring.
    fn seed_hash(&self, source: &SeedSource, claim_uid: &str) -> Result<String, String> {
        let digest = self.digest(source)?;
        Ok(hash(
            &[
                &source.describe(),
                &digest,
                self.api_image,
                &self.database.image,
                claim_uid,
            ],
            self.pods,
        ))
    }

    /// What tells these inputs from others of the same description.
    fn digest(&self, source: &SeedSource) -> Result<String, String> {
        let (name, key) = match source {
            SeedSource::Nothing | SeedSource::Bundled => return Ok(String::new()),
            SeedSource::Url { url, sha256 } => return Ok(short_digest(&[url, sha256].map(String::as_bytes))),
            SeedSource::Claim { claim, .. } => {
                return match &self.observed.dump {
                    Dump::Found { digest } => Ok(digest.clone()),
                    _ => Err(format!(
                        "there is no PersistentVolumeClaim {claim} in namespace {}: create it, or correct spec.database.seed.persistentVolumeClaim.claimName",
                        self.observed.identity.namespace
                    )),
                };
            }
            SeedSource::ConfigMap { name, key } => (name, key),
        };
        match &self.observed.dump {
            Dump::Found { digest } => Ok(digest.clone()),
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
            Dump::NoConfigMap | Dump::NoClaim | Dump::NotNeeded => Err(format!(
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
            failure: job.annotations().get(LAST_FAILURE).cloned(),
            ..Self::first(hash)
        }
    }

    /// The attempt after a lost one: twice at once, then after growing pauses.
    fn next(hash: String, job: &Job, ended: Timestamp, failure: Option<String>, now: Timestamp) -> Self {
        let lost = attempt_of(job);
        let failure = failure.or_else(|| job.annotations().get(LAST_FAILURE).cloned());
        let pause = if lost < 2 { 0 } else { 1_i64 << (lost - 2).min(6) };
        let due = ended
            .saturating_add(SignedDuration::from_secs(pause))
            .unwrap_or(now);
        Self {
            hash,
            attempt: lost + 1,
            replaces: (due <= now).then(|| job.uid()).flatten(),
            not_before: (due > now).then_some(due),
            failure: failure.map(|message| message.chars().take(LONGEST_FAILURE).collect()),
        }
    }
}

fn attempt_of(job: &Job) -> u32 {
    job.annotations()
        .get(ATTEMPT)
        .and_then(|attempt| attempt.parse().ok())
        .unwrap_or(1)
}
