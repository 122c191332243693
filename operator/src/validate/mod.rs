//! From what was read to what is to be: the spec with every default filled in, what was pinned
//! when it was made, and how far the database is. Builders take only this, and no optional
//! field decides anything behind it.

mod activity;
mod api;
mod autoscaling;
mod database;
mod exposure;
mod jobs;
mod judging;
mod parameters;
mod pods;
mod profile;
mod resources;
mod restart;
mod revision;
mod rotation;
mod unwise;
mod variables;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::credentials::Fresh;
use crate::dereference::Observed;
use crate::identity::{Claim, Component, Identity};
use crate::ingest_token::{Malformed, TOKEN};
use crate::settings::Images;
use crate::token_rotation::{Asked, ROTATE, Tokens};

pub use activity::{Activity, is_ready, primary};
pub use api::{ApiPlan, Drain};
pub use autoscaling::{Autoscaler, Scale};
pub use database::{Database, VolumeIdentity, VolumeTemplate};
pub use exposure::Exposure;
pub use jobs::{ATTEMPT, DUMP, JobRun, LAST_FAILURE, LOAD, MIGRATE, Migration, PUBLISH, SeedSource, Seeding};
pub use judging::{Judgement, has_ended, judge, lingers};
pub use pods::{JobPods, Metadata, Scheduling};
pub use profile::Disruption;
pub use resources::Resources;
pub use restart::{RESTARTED_FOR, Restart, restart};
pub use revision::{REVISION, Revision, Rollout, WRITTEN, revision_of_template};
pub use rotation::{ROTATE_PASSWORD, Rotation};
pub use unwise::{Unwise, unwise};

/// An annotation whose value "true" makes an environment follow the operator's default images
/// instead of keeping those of its creation.
pub const FOLLOW_IMAGES: &str = "rates.internal/follow-operator-images";

/// A specification that cannot work, in words for the person who wrote it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Invalid {
    #[error(
        "this operator has no image for PostgreSQL {wanted}: set spec.database.version to one of {known}, or spec.database.image"
    )]
    UnknownVersion { wanted: String, known: String },
    #[error("spec.{field} {value:?} is no quantity: write a number with a unit, such as {example}")]
    Quantity {
        field: &'static str,
        value: String,
        example: &'static str,
    },
    #[error(
        "spec.{field} has the key {key:?}, which is none of a label or an annotation: write a name of at most 63 letters, digits, '-', '_' and '.', with a letter or digit first and last, and before it, if need be, a domain and a slash, such as example.com/team"
    )]
    Key { field: &'static str, key: String },
    #[error("spec.database.parameters: {name:?} is not set: {why}")]
    Parameter { name: String, why: String },
    #[error(
        "{kind} {name} exists already and is not of this environment: delete or rename it, or give the environment another name"
    )]
    NameTaken { kind: &'static str, name: String },
    /// Never with what the Secret holds.
    #[error(
        "the {TOKEN} of Secret {secret} is not 16 to 128 visible ASCII characters, without blanks and line breaks: correct it, or remove the key and one is made; until then the token before it stays valid"
    )]
    IngestToken { secret: String },
}

impl Invalid {
    /// The reason for a condition.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownVersion { .. }
            | Self::Quantity { .. }
            | Self::Key { .. }
            | Self::Parameter { .. } => "InvalidSpec",
            Self::NameTaken { .. } => "NameTaken",
            Self::IngestToken { .. } => "InvalidSecret",
        }
    }
}

/// An environment as it is to be.
#[derive(Clone, Debug)]
pub struct Environment {
    pub identity: Identity,
    pub activity: Activity,
    pub database: Database,
    pub api: ApiPlan,
    pub exposure: Exposure,
    pub network_policies: bool,
    pub scheduling: Scheduling,
    pub jobs: JobPods,
    pub seeding: Seeding,
    pub migration: Migration,
    /// What of the specification cannot work; there, what runs stays as it is.
    pub invalid: Vec<Invalid>,
    /// What is wrong with the Secret's token is told, and stops nothing else.
    pub ingest_tokens: Result<Tokens, Invalid>,
    /// What the API's pods are marked with while, and after, a token is replaced.
    pub rotation_mark: Option<String>,
}

/// Checks and completes what was read.
pub fn validate(
    observed: &Observed,
    images: &Images,
    fresh: Fresh,
    now: Timestamp,
) -> Result<Environment, Invalid> {
    let identity = observed.identity.clone();
    let activity = Activity::of(observed);
    let status = observed.environment.status.clone().unwrap_or_default();
    let pinned = status.database.unwrap_or_default();
    secrets_are_ours(observed)?;
    let asked = Asked {
        secret: observed.token_secret.as_ref(),
        rotate: observed.environment.annotations().get(ROTATE).map(String::as_str),
        deployment: observed
            .deployments
            .iter()
            .find(|deployment| deployment.name_any() == identity.api()),
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
    let database = Database::plan(observed, &pinned, images, fresh, &mut invalid)?;
    let pinned_api = status.api.as_ref();
    let (image, default_image) = api::images(observed, pinned_api, images);
    let spec = &observed.environment.spec;
    let scheduling = Scheduling::of(spec)?;
    let jobs = JobPods::of(
        spec,
        api::own_resources(spec)?.as_ref(),
        spec.database.resources.is_some().then_some(&database.resources),
    )?;
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
    Ok(Environment {
        identity,
        activity,
        database,
        api,
        exposure: Exposure::of(observed.environment.spec.expose.as_ref()),
        network_policies: observed.environment.spec.network_policies,
        scheduling,
        jobs,
        seeding,
        migration,
        invalid,
        ingest_tokens,
        rotation_mark,
    })
}

/// Secrets are read by name, so a foreign one shows here and not among the labelled.
fn secrets_are_ours(observed: &Observed) -> Result<(), Invalid> {
    let Observed {
        app_secret,
        admin_secret,
        migrator_secret,
        token_secret,
        ..
    } = observed;
    let secrets = [app_secret, admin_secret, migrator_secret, token_secret];
    for secret in secrets.into_iter().flatten() {
        if observed.identity.claim_on(&secret.metadata) == Claim::Foreign {
            return Err(Invalid::NameTaken {
                kind: "Secret",
                name: secret.name_any(),
            });
        }
    }
    Ok(())
}

fn follows_images(observed: &Observed) -> bool {
    observed
        .environment
        .annotations()
        .get(FOLLOW_IMAGES)
        .is_some_and(|value| value == "true")
}
