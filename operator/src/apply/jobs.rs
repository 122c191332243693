//! Jobs, which are created and deleted but never changed.

use k8s_openapi::api::batch::v1::Job;
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use super::compare;
use super::error::{Error, write_error};
use super::writer::{Writer, named};
use crate::build::JobChild;
use crate::identity::{Component, MANAGER, Ownership};
use crate::observed::Observed;
use crate::plan::{Environment, Migration, Seeding};
use crate::pods::job_outcome::{JobOutcome, lingers, outcome_of};

impl Writer<'_> {
    /// Starts a Job, or the attempt that takes the place of a lost one.
    pub(super) async fn run_job(&self, child: Option<JobChild>, observed: &Observed) -> Result<(), Error> {
        let Some(JobChild {
            mut job,
            replaces,
            due,
        }) = child
        else {
            return Ok(());
        };
        let name = job.name_any();
        if let Some(existing) = named(&observed.jobs, &name) {
            self.check(existing)?;
            if replaces.is_none() || existing.uid() != replaces {
                return Ok(());
            }
            self.delete(existing).await?;
        }
        if !due {
            return Ok(());
        }
        compare::sign(&mut job).map_err(|source| Error::Serialise {
            kind: "Job".to_owned(),
            name: name.clone(),
            source,
        })?;
        let api: Api<Job> = self.api();
        let parameters = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        self.still_there().await?;
        let created = api.create(&parameters, &job).await;
        self.count();
        match created {
            Ok(created) => {
                self.cache.put(&created);
                tracing::info!(kind = "Job", name, "created");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
                let existing = api
                    .get_opt(&name)
                    .await
                    .map_err(|source| write_error::<Job>(&name, source))?;
                existing.map_or(Ok(()), |existing| self.check(&existing))
            }
            Err(source) => Err(write_error::<Job>(&name, source)),
        }
    }

    /// Removes Jobs with inputs of the past. The newest that did its work stays for its log, unless a container that
    /// is not ours keeps its pod: that one goes as soon as the status has the report.
    pub(super) async fn remove_stale_jobs(
        &self,
        environment: &Environment,
        observed: &Observed,
    ) -> Result<(), Error> {
        let identity = &environment.identity;
        let seed = match &environment.seeding {
            Seeding::Run { run, .. } => Some(identity.seed_job(&run.hash)),
            Seeding::Failed { hash, .. } => Some(identity.seed_job(hash)),
            Seeding::Blocked(blocked) => blocked.looked.as_ref().map(|hash| identity.seed_job(hash)),
            Seeding::Done(_) | Seeding::Waiting(_) => None,
        };
        let migrate = match &environment.migration {
            Migration::Run(run) => Some(identity.migrate_job(&run.hash)),
            Migration::Done(_) | Migration::Waiting => None,
        };
        let status = observed.environment.status.as_ref();
        let known = status.and_then(|status| status.database.as_ref());
        let seed_reported = match &environment.seeding {
            Seeding::Done(done) => known.and_then(|known| known.seed.as_ref()) == Some(done),
            Seeding::Run { .. } | Seeding::Waiting(_) | Seeding::Blocked(_) | Seeding::Failed { .. } => false,
        };
        let schema_reported = match &environment.migration {
            Migration::Done(done) => known.and_then(|known| known.schema.as_ref()) == Some(done),
            Migration::Run(_) | Migration::Waiting => false,
        };
        for (component, current, reported) in [
            (Component::Seed, seed, seed_reported),
            (Component::Migrate, migrate, schema_reported),
        ] {
            let mut jobs: Vec<&Job> = observed
                .jobs
                .iter()
                .filter(|job| self.is_of_environment(*job) && component.is_of(*job))
                .collect();
            jobs.sort_by_key(|job| std::cmp::Reverse(job.creation_timestamp()));
            let mut kept = current.is_some();
            for job in jobs {
                // Left by an environment that was deleted without its children: nothing else would remove it.
                let left = self.identity.ownership(&job.metadata) == Ownership::Retained;
                let done =
                    !kept && !left && matches!(outcome_of(job, &observed.pods), JobOutcome::Succeeded(_));
                let lingers = done && reported && lingers(job, &observed.pods);
                kept |= done;
                let wanted = Some(job.name_any()) == current;
                let stays = !left && ((done && !lingers) || wanted);
                if !stays && job.metadata.deletion_timestamp.is_none() {
                    self.delete(job).await?;
                }
            }
        }
        Ok(())
    }
}
