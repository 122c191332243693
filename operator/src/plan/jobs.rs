//! How far the database is: what its Jobs reported, and what is to run next.
//!
//! A Job is one attempt (its `backoffLimit` is 0). Its name is a hash of its inputs, so that
//! nothing runs twice for the same ones.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::activity::Activity;
use super::attempts::JobRun;
use super::blocked::Blocked;
use super::database::Database;
use super::pods::JobPods;
use super::seed_source::SeedSource;
use crate::crd::{DatabaseStatus, SchemaStatus, SeedStatus};
use crate::digest::short_digest;
use crate::identity::{COMPONENT_LABEL, Component};
use crate::observed::Observed;
use crate::pods::job_outcome::{Failure, JobOutcome, LOAD, Success, has_ended, outcome_of};
use crate::pods::primary;

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
    /// Something is missing that a person has to bring, or a source cannot be copied yet.
    Blocked(Blocked),
    /// The dump cannot be loaded; tried again when the inputs, and with them the hash, change.
    Failed {
        source: SeedSource,
        hash: String,
        message: String,
    },
}

impl Seeding {
    /// What a person has to do before it goes on.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        match self {
            Self::Failed { .. } => true,
            Self::Blocked(blocked) => blocked.reason.is_failure(),
            Self::Run { run, .. } => run.refused,
            Self::Done(_) | Self::Waiting(_) => false,
        }
    }
}

/// How far the tables are.
#[derive(Clone, Debug, PartialEq)]
pub enum Migration {
    Done(SchemaStatus),
    Run(JobRun),
    /// For the data, or to be resumed.
    Waiting,
}

/// What the specification says of the pods is an input where it says something: a Job whose pod finds no
/// node is then made anew once that is corrected.
fn hash(inputs: &[&str], pods: &JobPods) -> String {
    let inputs = inputs.iter().copied().chain(pods.digest.as_deref());
    short_digest(&inputs.map(str::as_bytes).collect::<Vec<_>>())
}

/// What a Job has found or loaded, as the status says it.
fn status_of(success: Success, source: &SeedSource, claim_uid: &str) -> SeedStatus {
    SeedStatus {
        source: success.source.unwrap_or_else(|| source.describe()),
        checksum: success.checksum,
        rows: success.rows,
        seconds: success.seconds,
        claim_uid: Some(claim_uid.to_owned()),
        copied: success.copied,
    }
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
        let source = SeedSource::of(self.observed);
        match self.seeding_from(source, claim_uid) {
            Seeding::Blocked(blocked) if self.was_there_before(claim_uid) => {
                self.seeding_from_volume(blocked, claim_uid)
            }
            seeding => seeding,
        }
    }

    fn seeding_from(&self, source: SeedSource, claim_uid: &str) -> Seeding {
        let done = |success| Seeding::Done(status_of(success, &source, claim_uid));
        if let Some(success) = self.finished_copy(&source, claim_uid) {
            return done(success);
        }
        let hash = match self.seed_hash(&source, claim_uid) {
            Ok(hash) => hash,
            Err(blocked) => return Seeding::Blocked(blocked),
        };
        let name = self.observed.identity.seed_job(&hash);
        let Some(job) = self.job(&name) else {
            if self.other_attempt_runs(Component::Seed, &name) {
                return Seeding::Waiting("the attempt with the earlier inputs to end");
            }
            if let Some(blocked) = source.not_ready(self.observed) {
                return Seeding::Blocked(blocked);
            }
            return Seeding::Run {
                source,
                run: JobRun::first(hash),
            };
        };
        let outcome = outcome_of(job, &self.observed.pods);
        // What began goes on, and is told why it ends. The next attempt waits for the source.
        if let JobOutcome::Failed(_) | JobOutcome::Lost { .. } = outcome
            && let Some(blocked) = source.not_ready(self.observed)
        {
            return Seeding::Blocked(blocked);
        }
        match outcome {
            JobOutcome::Succeeded(success) => done(success),
            // A dump stays as it is; a source may be corrected.
            JobOutcome::Failed(failure) if self.is_the_dumps_fault(&failure) => {
                if matches!(source, SeedSource::Environment { .. }) {
                    let run = JobRun::after_refusal(hash, job, failure.ended, failure.message, self.now);
                    Seeding::Run { source, run }
                } else {
                    Seeding::Failed {
                        source,
                        hash,
                        message: failure.message,
                    }
                }
            }
            JobOutcome::Failed(failure) => Seeding::Run {
                source,
                run: JobRun::next(hash, job, failure.ended, Some(failure.message), self.now),
            },
            JobOutcome::Lost { ended } => Seeding::Run {
                source,
                run: JobRun::next(hash, job, ended, None, self.now),
            },
            JobOutcome::Active => Seeding::Run {
                source,
                run: JobRun::current(hash, job),
            },
        }
    }

    /// Whether an environment before this one has kept the claim.
    fn was_there_before(&self, claim_uid: &str) -> bool {
        let claim = self.claim(claim_uid).and_then(ResourceExt::creation_timestamp);
        let environment = self.observed.environment.creation_timestamp();
        claim
            .zip(environment)
            .is_some_and(|(claim, environment)| claim < environment)
    }

    fn claim(&self, uid: &str) -> Option<&PersistentVolumeClaim> {
        let mut claims = self.observed.claims.iter();
        claims.find(|claim| claim.metadata.uid.as_deref() == Some(uid))
    }

    /// What cannot be loaded now may be there already: the database alone is asked.
    fn seeding_from_volume(&self, blocked: Blocked, claim_uid: &str) -> Seeding {
        let source = SeedSource::Kept;
        let hash = hash(&[&source.describe(), self.api_image, claim_uid], self.pods);
        let name = self.observed.identity.seed_job(&hash);
        let Some(job) = self.job(&name) else {
            if primary(self.observed).is_none() {
                return Seeding::Waiting("the database, whose volume was there before");
            }
            if self.other_attempt_runs(Component::Seed, &name) {
                return Seeding::Waiting("the attempt with the earlier inputs to end");
            }
            let run = JobRun::first(hash);
            return Seeding::Run { source, run };
        };
        let run = match outcome_of(job, &self.observed.pods) {
            JobOutcome::Succeeded(success) => {
                return Seeding::Done(status_of(success, &source, claim_uid));
            }
            JobOutcome::Failed(failure) if self.server_was_up(&failure) => {
                let looked = Some(hash);
                return Seeding::Blocked(Blocked { looked, ..blocked });
            }
            JobOutcome::Failed(failure) => {
                JobRun::next(hash, job, failure.ended, Some(failure.message), self.now)
            }
            JobOutcome::Lost { ended } => JobRun::next(hash, job, ended, None, self.now),
            JobOutcome::Active => JobRun::current(hash, job),
        };
        Seeding::Run { source, run }
    }

    /// What a Job copied into this claim, whatever the source allows by now: a copy that exists stays.
    fn finished_copy(&self, source: &SeedSource, claim_uid: &str) -> Option<Success> {
        if !matches!(source, SeedSource::Environment { .. }) {
            return None;
        }
        let made = self.claim(claim_uid)?.creation_timestamp()?;
        let into_this_one =
            |job: &&Job| Component::Seed.is_of(*job) && job.creation_timestamp().is_some_and(|at| at >= made);
        let jobs = self.observed.jobs.iter().filter(into_this_one);
        jobs.filter_map(|job| match outcome_of(job, &self.observed.pods) {
            JobOutcome::Succeeded(success) => Some(success),
            JobOutcome::Failed(_) | JobOutcome::Lost { .. } | JobOutcome::Active => None,
        })
        .find(|success| success.source.as_ref() == Some(&source.describe()))
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
        let is_seeded = matches!(seeding, Seeding::Done(_));
        let Some(claim_uid) = self.database.claim_uid.as_ref().filter(|_| is_seeded) else {
            return Migration::Waiting;
        };
        match self.migrated() {
            Some(schema) if schema.image == self.api_image => return Migration::Done(schema.clone()),
            Some(_) => {}
            None => {
                if let Some(schema) = self.published(claim_uid) {
                    return Migration::Done(schema);
                }
            }
        }
        let hash = hash(&[self.api_image, claim_uid], self.pods);
        let Some(job) = self.job(&self.observed.identity.migrate_job(&hash)) else {
            return Migration::Run(JobRun::first(hash));
        };
        match outcome_of(job, &self.observed.pods) {
            JobOutcome::Succeeded(success) => Migration::Done(SchemaStatus {
                version: success.schema_version,
                image: self.api_image.to_owned(),
                claim_uid: Some(claim_uid.clone()),
            }),
            JobOutcome::Failed(failure) => Migration::Run(JobRun::next(
                hash,
                job,
                failure.ended,
                Some(failure.message),
                self.now,
            )),
            JobOutcome::Lost { ended } => Migration::Run(JobRun::next(hash, job, ended, None, self.now)),
            JobOutcome::Active => Migration::Run(JobRun::current(hash, job)),
        }
    }

    /// What the seed's own report says of the tables: publishing migrates them, by the same image. Not so where
    /// the database was there already, by another attempt and perhaps another image.
    fn published(&self, claim_uid: &str) -> Option<SchemaStatus> {
        let source = SeedSource::of(self.observed);
        let hash = self.seed_hash(&source, claim_uid).ok()?;
        let job = self.job(&self.observed.identity.seed_job(&hash))?;
        match outcome_of(job, &self.observed.pods) {
            JobOutcome::Succeeded(success) if !success.already_seeded => Some(SchemaStatus {
                version: Some(success.schema_version?),
                image: self.api_image.to_owned(),
                claim_uid: Some(claim_uid.to_owned()),
            }),
            _ => None,
        }
    }

    /// The inputs of a seed Job; an error names one that a person has to bring.
    fn seed_hash(&self, source: &SeedSource, claim_uid: &str) -> Result<String, Blocked> {
        let digest = source.digest(self.observed)?;
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
        failure.container == LOAD && !failure.retry && self.server_was_up(failure)
    }

    /// Whether the server was up while a container ran that failed.
    fn server_was_up(&self, failure: &Failure) -> bool {
        let first = self.observed.identity.postgres_pod(0);
        let server =
            primary(self.observed).or_else(|| self.observed.pods.iter().find(|pod| pod.name_any() == first));
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
