//! The database as it is to be: its version and image, its volume, its logins and what it may use.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::instances::Instances;
use super::invalid::Invalid;
use super::parameters::{self, PatroniSettings};
use super::pods::Metadata;
use super::profile::{Amounts, defaults};
use super::resources::Resources;
use super::restart;
use super::rotation::{self, Rotation};
use super::spread::Spread;
use super::volume::{Holders, VolumeIdentity, VolumeTemplate, storage, template};
use crate::crd::{DEFAULT_POSTGRES_VERSION, DatabaseStatus};
use crate::credentials::{Credentials, GeneratedSecrets};
use crate::observed::Observed;
use crate::patroni;
use crate::pods::primary;
use crate::quantity::Quantity;
use crate::settings::Images;

#[derive(Clone, Debug)]
pub struct Database {
    /// Unknown where the spec names an image, until its server has told.
    pub version: Option<String>,
    pub image: String,
    /// Whether the database has the Jobs' own login; where an image of an earlier release keeps the roles, they use the
    /// application's.
    pub knows_migrator: bool,
    pub release: Release,
    /// Whether the image is the spec's own.
    pub own_image: bool,
    pub instances: Instances,
    pub spread: Spread,
    pub size: Quantity,
    pub storage_class: Option<String>,
    pub template: VolumeTemplate,
    pub retain: bool,
    pub credentials: Credentials,
    pub rotation: Rotation,
    /// The last rotation of the replication's password.
    pub replication_rotation: Option<String>,
    /// Patroni's settings, with the parameters.
    pub settings: PatroniSettings,
    /// What the pods were last restarted for.
    pub restarted_for: Option<String>,
    pub volume: VolumeIdentity,
    /// The uid of the claim that the data were made on, once it exists; none while a new volume is not taken up.
    pub claim_uid: Option<String>,
    /// The claims of several instances that hold a copy of the data, with its system identifier.
    pub holders: BTreeMap<String, String>,
    /// The system identifier of the data, where claims are marked with it.
    pub identifier: Option<String>,
    pub resources: Resources,
    /// Of the container that keeps the roles.
    pub roles_resources: Resources,
    pub pod_metadata: Metadata,
    pub service_metadata: Metadata,
    /// For how long a stop waits for batches.
    pub drain_seconds: i32,
}

/// Of which release the programs of an image are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Release {
    /// The operator comes with the image.
    Operators,
    Any,
}

impl Release {
    fn of(image: &str, images: &Images) -> Self {
        if images.has_postgres(image) {
            Self::Operators
        } else {
            Self::Any
        }
    }
}

const ROLES_AMOUNTS: Amounts = Amounts {
    cpu: "1m",
    memory: "16Mi",
    memory_limit: "128Mi",
};

impl Database {
    pub(super) fn plan(
        observed: &Observed,
        pinned: &DatabaseStatus,
        images: &Images,
        fresh: GeneratedSecrets,
        now: Timestamp,
        invalid: &mut Vec<Invalid>,
    ) -> Result<Self, Invalid> {
        let environment = &observed.environment.spec;
        let spec = &environment.database;
        let claim = observed
            .claims
            .iter()
            .find(|claim| claim.name_any() == observed.identity.claim(0));
        let instances = Instances::of(observed, pinned);
        let holders = Holders::of(observed, instances);
        let volume = VolumeIdentity::of(observed, pinned, &holders);
        let (version, image) = match (
            postgres(observed, pinned, images),
            &pinned.version,
            &pinned.default_image,
        ) {
            (Err(unknown), Some(version), Some(image)) => {
                invalid.push(unknown);
                (Some(version.clone()), image.clone())
            }
            (planned, _, _) => planned?,
        };
        let next_password = fresh.next_password.clone();
        let next_replication_password = fresh.replication_password.clone();
        let credentials = Credentials::take(
            observed.app_secret.as_ref(),
            observed.admin_secret.as_ref(),
            observed.migrator_secret.as_ref(),
            fresh,
        );
        let (mut credentials, rotation) = rotation::plan(observed, credentials, next_password);
        let replication_rotation =
            rotation::replication(observed, &mut credentials, next_replication_password, now);
        let defaults = defaults(environment.profile);
        let resources = Resources::of(spec.resources.as_ref(), "database.resources", &defaults.database)?;
        let sidecars = spec.sidecars.clone().unwrap_or_default();
        let roles_resources = Resources::beside(
            sidecars.roles.resources.as_ref(),
            "database.sidecars.roles.resources",
            &ROLES_AMOUNTS,
            spec.resources.is_some().then_some(&resources),
        )?;
        let (size, storage_class) = storage(&spec.storage, environment.profile, pinned, claim)?;
        let inputs = parameters::Inputs {
            volume,
            spec: &spec.parameters,
            defaults: &defaults,
            resources: &resources,
            instances,
            size: &size,
        };
        let settings = match PatroniSettings::plan(observed, &inputs) {
            Ok(settings) => settings,
            Err(error) => {
                let found = PatroniSettings::found(observed).ok_or_else(|| error.clone())?;
                invalid.push(error);
                found
            }
        };
        let release = Release::of(&image, images);
        Ok(Self {
            version,
            release,
            knows_migrator: release == Release::Operators
                || primary(observed).is_some_and(patroni::knows_migrator),
            image,
            own_image: spec.image.is_some(),
            drain_seconds: defaults.database_drain_seconds,
            instances,
            spread: Spread::of(observed, instances, &defaults),
            template: template(observed).unwrap_or_else(|| VolumeTemplate {
                size: size.clone(),
                storage_class: spec.storage.storage_class_name.clone(),
            }),
            size,
            storage_class,
            retain: spec.storage.retain,
            credentials,
            rotation,
            replication_rotation,
            settings,
            restarted_for: restart::last(observed),
            volume,
            claim_uid: claim_uid(claim, pinned, &holders).filter(|_| volume == VolumeIdentity::Same),
            identifier: holders.identifier(),
            holders: holders.claims,
            resources,
            roles_resources,
            pod_metadata: Metadata::of(spec.pod_metadata.as_ref(), "database.podMetadata")?,
            service_metadata: Metadata::of(spec.service_metadata.as_ref(), "database.serviceMetadata")?,
        })
    }
}

/// The uid of the claim that the data were made on.
fn claim_uid(
    first: Option<&PersistentVolumeClaim>,
    pinned: &DatabaseStatus,
    holders: &Holders,
) -> Option<String> {
    // Whatever became of the first claim, the data keep the name that they got with it.
    let known = pinned
        .storage
        .as_ref()
        .and_then(|storage| storage.claim_uid.clone());
    let seeded = pinned.seed.as_ref().and_then(|seed| seed.claim_uid.as_ref());
    // One that is being deleted serves for as long as its pod runs.
    let serves = |claim: &&PersistentVolumeClaim| {
        claim.metadata.deletion_timestamp.is_none() || claim.metadata.uid.as_ref() == seeded
    };
    known
        .filter(|_| !holders.claims.is_empty())
        .or_else(|| first.filter(serves)?.uid())
}

/// The version and the image: the spec's own, those pinned, or the operator's.
fn postgres(
    observed: &Observed,
    pinned: &DatabaseStatus,
    images: &Images,
) -> Result<(Option<String>, String), Invalid> {
    let spec = &observed.environment.spec.database;
    if let Some(image) = &spec.image {
        let told = primary(observed).and_then(patroni::version);
        return Ok((told.or_else(|| pinned.version.clone()), image.clone()));
    }
    let wanted = spec.version.as_deref().unwrap_or(DEFAULT_POSTGRES_VERSION);
    if let (Some(version), Some(image)) = (&pinned.version, &pinned.default_image)
        && (version == wanted || version.split('.').next() == Some(wanted))
        && !observed.follows_images()
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
