//! From what was read to what is to be: the spec with every default filled in, what was pinned
//! when it was made, and how far the database is. Builders take only this, and no optional
//! field decides anything behind it.

mod jobs;
mod judging;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use crate::crd::{Api, Autoscaling, DEFAULT_POSTGRES_VERSION, DatabaseStatus, Profile, Storage};
use crate::credentials::{Credentials, Fresh};
use crate::dereference::Observed;
use crate::identity::{Claim, Identity, applies};
use crate::ingest_token::{IngestToken, Malformed, TOKEN};
use crate::quantity::Quantity;
use crate::settings::Images;

pub use jobs::{ATTEMPT, JobRun, LOAD, Migration, SeedSource, Seeding};
pub use judging::{Judgement, judge};

/// An annotation whose value "true" makes an environment follow the operator's default images
/// instead of keeping those of its creation.
pub const FOLLOW_IMAGES: &str = "rates.internal/follow-operator-images";

/// The request timeout of the API and a little more: what a pod has to finish its requests.
const DRAIN_SECONDS: i32 = 20;
/// Between the server's own hard deadline and the kubelet's.
const MARGIN_SECONDS: i32 = 5;

/// A specification that cannot work, in words for the person who wrote it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Invalid {
    #[error(
        "this operator has no image for PostgreSQL {wanted}: set spec.database.version to one of {known}, or spec.database.image"
    )]
    UnknownVersion { wanted: String, known: String },
    #[error("spec.database.storage.size {0:?} is no quantity: write bytes such as 1Gi or 500Mi")]
    Size(String),
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
            Self::UnknownVersion { .. } | Self::Size(_) => "InvalidSpec",
            Self::NameTaken { .. } => "NameTaken",
            Self::IngestToken { .. } => "InvalidSecret",
        }
    }
}

/// An environment as it is to be.
#[derive(Clone, Debug)]
pub struct Environment {
    pub identity: Identity,
    pub database: Database,
    pub api: ApiPlan,
    pub seeding: Seeding,
    pub migration: Migration,
    /// What is wrong with the Secret's token is told, and stops nothing else.
    pub ingest_token: Result<IngestToken, Invalid>,
}

#[derive(Clone, Debug)]
pub struct Database {
    /// Unknown where the spec names an image.
    pub version: Option<String>,
    pub image: String,
    pub instances: u8,
    pub size: Quantity,
    pub storage_class: Option<String>,
    pub template: VolumeTemplate,
    pub retain: bool,
    pub credentials: Credentials,
    /// The uid of the claim that holds the data, once it exists.
    pub claim_uid: Option<String>,
}

/// What the `StatefulSet`'s template says of volumes, which cannot change when they grow.
#[derive(Clone, Debug)]
pub struct VolumeTemplate {
    pub size: Quantity,
    pub storage_class: Option<String>,
}

#[derive(Clone, Debug)]
pub struct ApiPlan {
    /// The image that is to run.
    pub image: String,
    /// The operator's default for this environment.
    pub default_image: String,
    /// The image that runs until the new one's migrations are done; `None`: no Deployment yet.
    pub rollout_image: Option<String>,
    pub scale: Scale,
    pub propagation_seconds: i32,
    pub drain_seconds: i32,
    pub grace_seconds: i32,
}

/// Who decides how many API pods run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scale {
    Fixed(i32),
    Automatic { min: i32, max: i32, cpu_percent: i32 },
}

/// Checks and completes what was read.
pub fn validate(
    observed: &Observed,
    images: &Images,
    fresh: Fresh,
    now: Timestamp,
) -> Result<Environment, Invalid> {
    let identity = observed.identity.clone();
    let spec = &observed.environment.spec;
    let status = observed.environment.status.clone().unwrap_or_default();
    let pinned = status.database.unwrap_or_default();
    secrets_are_ours(observed)?;
    let ingest_token =
        IngestToken::take(observed.token_secret.as_ref(), &fresh).map_err(|Malformed| Invalid::IngestToken {
            secret: identity.api(),
        });

    let claim = observed
        .claims
        .iter()
        .find(|claim| claim.name_any() == identity.claim(0));
    let (version, image) = postgres(observed, &pinned, images)?;
    let (size, storage_class) = storage(&spec.database.storage, spec.profile, &pinned, claim)?;
    let database = Database {
        version,
        image,
        instances: 1,
        template: template(observed).unwrap_or_else(|| VolumeTemplate {
            size: size.clone(),
            storage_class: spec.database.storage.storage_class_name.clone(),
        }),
        size,
        storage_class,
        retain: spec.database.storage.retain,
        credentials: Credentials::take(
            observed.app_secret.as_ref(),
            observed.admin_secret.as_ref(),
            fresh,
        ),
        claim_uid: claim
            .filter(|claim| claim.metadata.deletion_timestamp.is_none())
            .and_then(ResourceExt::uid),
    };

    let default_image = status
        .api
        .and_then(|api| api.default_image)
        .filter(|_| !follows_images(observed))
        .unwrap_or_else(|| images.api.clone());
    let image = spec.api.image.clone().unwrap_or_else(|| default_image.clone());
    let progress = jobs::Progress {
        observed,
        database: &database,
        pinned: &pinned,
        api_image: &image,
        now,
    };
    let seeding = progress.seeding();
    let migration = progress.migration(&seeding);
    let api = api(
        &spec.api,
        spec.profile,
        image,
        default_image,
        &migration,
        observed,
    );
    Ok(Environment {
        identity,
        database,
        api,
        seeding,
        migration,
        ingest_token,
    })
}

/// Secrets are read by name, so a foreign one shows here and not among the labelled.
fn secrets_are_ours(observed: &Observed) -> Result<(), Invalid> {
    let Observed {
        app_secret,
        admin_secret,
        token_secret,
        ..
    } = observed;
    for secret in [app_secret, admin_secret, token_secret].into_iter().flatten() {
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

/// The version and the image: the spec's own, those pinned, or the operator's.
fn postgres(
    observed: &Observed,
    pinned: &DatabaseStatus,
    images: &Images,
) -> Result<(Option<String>, String), Invalid> {
    let spec = &observed.environment.spec.database;
    if let Some(image) = &spec.image {
        return Ok((pinned.version.clone(), image.clone()));
    }
    let wanted = spec.version.as_deref().unwrap_or(DEFAULT_POSTGRES_VERSION);
    if let (Some(version), Some(image)) = (&pinned.version, &pinned.default_image)
        && (version == wanted || version.split('.').next() == Some(wanted))
        && !follows_images(observed)
    {
        return Ok((Some(version.clone()), image.clone()));
    }
    let (version, image) = images
        .postgres_for(wanted)
        .ok_or_else(|| Invalid::UnknownVersion {
            wanted: wanted.to_owned(),
            known: images.known_versions(),
        })?;
    Ok((Some(version.to_owned()), image.to_owned()))
}

/// The volume's size and class. What exists is never asked to shrink, whatever a profile says.
fn storage(
    spec: &Storage,
    profile: Profile,
    pinned: &DatabaseStatus,
    claim: Option<&PersistentVolumeClaim>,
) -> Result<(Quantity, Option<String>), Invalid> {
    let parse = |text: &str| Quantity::parse(text).ok_or_else(|| Invalid::Size(text.to_owned()));
    let claim_spec = claim.and_then(|claim| claim.spec.as_ref());
    let existing = claim_spec
        .and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"))
        .map(|quantity| quantity.0.as_str())
        .or_else(|| pinned.storage.as_ref().map(|storage| storage.size.as_str()));
    // Only a bound claim can grow.
    let bound = claim.is_none_or(|claim| {
        claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
    });
    let wanted = spec.size.as_deref().filter(|_| bound);
    let size = match (wanted, existing) {
        (Some(wanted), Some(existing)) => parse(wanted)?.max(parse(existing)?),
        (Some(size), None) | (None, Some(size)) => parse(size)?,
        (None, None) => parse(defaults(profile).size)?,
    };
    // A claim keeps the class that it was made with; one that the cluster chose is left to it.
    let class = match (claim, claim_spec) {
        (Some(claim), Some(spec)) => spec
            .storage_class_name
            .clone()
            .filter(|_| applies(&claim.metadata, &["f:spec", "f:storageClassName"])),
        _ => spec.storage_class_name.clone(),
    };
    Ok((size, class))
}

fn template(observed: &Observed) -> Option<VolumeTemplate> {
    let stateful_set = observed
        .stateful_sets
        .iter()
        .find(|s| s.name_any() == observed.identity.postgres())?;
    let template = stateful_set
        .spec
        .as_ref()?
        .volume_claim_templates
        .as_ref()?
        .first()?
        .spec
        .as_ref()?;
    let size = template.resources.as_ref()?.requests.as_ref()?.get("storage")?;
    Some(VolumeTemplate {
        size: Quantity::parse(&size.0)?,
        storage_class: template.storage_class_name.clone(),
    })
}

struct Defaults {
    replicas: i32,
    size: &'static str,
}

const fn defaults(profile: Profile) -> Defaults {
    match profile {
        Profile::Production => Defaults {
            replicas: 3,
            size: "20Gi",
        },
        Profile::Staging => Defaults {
            replicas: 2,
            size: "5Gi",
        },
        Profile::Preview => Defaults {
            replicas: 1,
            size: "1Gi",
        },
    }
}

fn api(
    spec: &Api,
    profile: Profile,
    image: String,
    default_image: String,
    migration: &Migration,
    observed: &Observed,
) -> ApiPlan {
    let replicas = defaults(profile).replicas;
    let scale = match &spec.autoscaling {
        Some(Autoscaling {
            min_replicas,
            max_replicas,
            target_cpu_utilization_percentage,
        }) => Scale::Automatic {
            min: min_replicas.unwrap_or(replicas).min(*max_replicas),
            max: *max_replicas,
            cpu_percent: *target_cpu_utilization_percentage,
        },
        None => Scale::Fixed(spec.replicas.unwrap_or(replicas)),
    };
    let rollout_image = match migration {
        Migration::Done(_) => Some(image.clone()),
        Migration::Waiting | Migration::Run { .. } => running_image(observed),
    };
    let propagation_seconds = spec.rollout.propagation_seconds;
    ApiPlan {
        image,
        default_image,
        rollout_image,
        scale,
        propagation_seconds,
        drain_seconds: DRAIN_SECONDS,
        grace_seconds: propagation_seconds + DRAIN_SECONDS + MARGIN_SECONDS,
    }
}

fn running_image(observed: &Observed) -> Option<String> {
    let named = |deployment: &&Deployment| deployment.name_any() == observed.identity.api();
    let pod = observed
        .deployments
        .iter()
        .find(named)?
        .spec
        .as_ref()?
        .template
        .spec
        .as_ref()?;
    pod.containers.first()?.image.clone()
}
