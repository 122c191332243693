//! From what was read to what is to be: the spec with every default filled in, what was pinned
//! when it was made, and how far the database is. Builders take only this, and no optional
//! field decides anything behind it.

mod activity;
mod api;
mod attempts;
mod autoscaling;
mod blocked;
mod copies;
mod database;
mod expiry;
mod exposure;
mod instances;
mod invalid;
mod jobs;
mod monitoring;
mod parameters;
mod patroni_edits;
mod patroni_modes;
mod pods;
mod profile;
pub mod replication;
mod resources;
mod restart;
mod revision;
mod rotation;
mod seed_source;
mod sleep;
mod spread;
mod variables;
mod volume;
mod warnings;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::annotations::ROTATE_INGEST_TOKEN;
use crate::credentials::GeneratedSecrets;
use crate::identity::{Component, Identity, Ownership};
use crate::ingest_token::Malformed;
use crate::observed::Observed;
use crate::settings::{self, Images};
use crate::token_rotation::{RotationInput, Tokens};

pub use activity::Activity;
pub use api::{ApiPlan, Drain};
pub use attempts::JobRun;
pub use autoscaling::{Autoscaler, Scale};
pub use blocked::Blocked;
pub use copies::{AdmittedReader, Copy, Readers};
pub use database::{Database, Release};
pub use expiry::Expiry;
pub use exposure::Exposure;
pub use instances::Instances;
pub use invalid::Invalid;
pub use jobs::{Migration, Seeding};
pub use monitoring::{EXPORTER, Exporter, Monitoring};
pub use pods::{JobPods, Metadata, Scheduling};
pub use profile::Disruption;
use replication::Replication;
pub use resources::Resources;
pub use restart::{Restart, restart};
pub use revision::{Revision, RolloutPlan, revision_of_template};
pub use rotation::Rotation;
pub use seed_source::SeedSource;
pub use sleep::{Detour, Sleep, SleepState};
pub use spread::Spread;
pub use volume::{VolumeIdentity, VolumeTemplate};
pub use warnings::{Warning, warnings};

/// An environment as it is to be.
#[derive(Clone, Debug)]
pub struct Environment {
    pub identity: Identity,
    pub activity: Activity,
    pub sleep: Sleep,
    /// Whose pods may ask the API's for how long they were not in use, where that is asked.
    pub idle_asked_from: Option<String>,
    pub database: Database,
    pub replication: Replication,
    pub api: ApiPlan,
    pub exposure: Exposure,
    pub network_policies: bool,
    pub monitoring: Option<Monitoring>,
    pub scheduling: Scheduling,
    pub jobs: JobPods,
    pub seeding: Seeding,
    pub migration: Migration,
    /// The copy of another environment's data that is being made.
    pub copy: Option<Copy>,
    /// Who copies this environment's data.
    pub readers: Readers,
    /// What of the specification cannot work; there, what runs stays as it is.
    pub invalid: Vec<Invalid>,
    /// What is wrong with the Secret's token is told, and stops nothing else.
    pub ingest_tokens: Result<Tokens, Invalid>,
    /// What the API's pods are marked with while, and after, a token is replaced.
    pub rotation_mark: Option<String>,
}

/// Checks and completes what was read.
pub fn plan(
    observed: &Observed,
    images: &Images,
    monitoring: &settings::Monitoring,
    fresh: GeneratedSecrets,
    now: Timestamp,
) -> Result<Environment, Invalid> {
    let identity = observed.identity.clone();
    let sleep = Sleep::of(observed, now);
    let activity = Activity::of(observed, &sleep);
    let status = observed.environment.status.clone().unwrap_or_default();
    let pinned = status.database.unwrap_or_default();
    secrets_are_ours(observed)?;
    let asked = RotationInput {
        secret: observed.token_secret.as_ref(),
        rotate: observed
            .environment
            .annotations()
            .get(ROTATE_INGEST_TOKEN)
            .map(String::as_str),
        deployment: observed.deployment(),
        pods: observed
            .pods
            .iter()
            .filter(|pod| Component::Api.is_of(*pod))
            .collect(),
        now,
    };
    let ingest_tokens = asked.tokens(&fresh).map_err(|Malformed| Invalid::IngestToken {
        secret: identity.api(),
    });
    let rotation_mark = asked.mark();

    let mut invalid = Vec::new();
    let copy = copies::copy(observed, &fresh.copy_password);
    let database = Database::plan(observed, &pinned, images, fresh, now, &mut invalid)?;
    let pinned_api = status.api.as_ref();
    let (image, default_image) = api::images(observed, pinned_api, images);
    let spec = &observed.environment.spec;
    let scheduling = Scheduling::of(spec)?;
    let sized = spec.database.resources.is_some().then_some(&database.resources);
    let jobs = JobPods::of(spec, api::own_resources(spec)?.as_ref(), sized)?;
    let monitoring = Monitoring::of(observed, monitoring, sized)?;
    let progress = jobs::Progress {
        observed,
        database: &database,
        pods: &jobs,
        pinned: &pinned,
        api_image: &image,
        activity,
        now,
    };
    let seeding = progress.seeding();
    let migration = progress.migration(&seeding);
    let is_seeded = matches!(seeding, Seeding::Done(_));
    let copy = copy.filter(|_| !is_seeded);
    let api = ApiPlan::plan(
        observed,
        (image.clone(), default_image),
        pinned_api,
        activity,
        (&seeding, &migration),
        now,
    )?;
    // Nothing is migrated for what was taken back.
    let migration = match &api.rollout.failed {
        Some(_) => progress.migrated().cloned().map_or(migration, Migration::Done),
        None => migration,
    };
    let runs = activity == Activity::Running && database.volume == VolumeIdentity::Same;
    let instances = database.instances;
    let replication = Replication::plan(observed, (instances.wanted, instances.present), runs, now);
    Ok(Environment {
        identity,
        activity,
        sleep,
        idle_asked_from: sleep::asked_from(observed),
        database,
        replication,
        api,
        exposure: Exposure::of(observed.environment.spec.expose.as_ref()),
        network_policies: observed.environment.spec.network_policies,
        monitoring,
        scheduling,
        jobs,
        seeding,
        migration,
        copy,
        readers: Readers::plan(observed, is_seeded),
        invalid,
        ingest_tokens,
        rotation_mark,
    })
}

/// Secrets are read by name, so a foreign one shows here and not among the labelled.
fn secrets_are_ours(observed: &Observed) -> Result<(), Invalid> {
    for secret in observed.secrets() {
        if observed.identity.ownership(&secret.metadata) == Ownership::Foreign {
            return Err(Invalid::NameTaken {
                kind: "Secret",
                name: secret.name_any(),
            });
        }
    }
    Ok(())
}
