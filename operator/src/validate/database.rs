//! The database as it is to be: its version and image, its volume, its logins and what it may use.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::parameters::Settings;
use super::profile::{Amounts, defaults};
use super::rotation::{self, Rotation};
use super::{Invalid, Metadata, Resources, follows_images, primary, restart};
use crate::crd::{DEFAULT_POSTGRES_VERSION, DatabaseStatus, Profile, Storage};
use crate::credentials::{Credentials, Fresh};
use crate::dereference::Observed;
use crate::identity::applies;
use crate::patroni;
use crate::quantity::Quantity;
use crate::settings::Images;

#[derive(Clone, Debug)]
pub struct Database {
    /// Unknown where the spec names an image, until its server has told.
    pub version: Option<String>,
    pub image: String,
    /// Whether the image is the spec's own.
    pub own_image: bool,
    pub instances: u8,
    pub size: Quantity,
    pub storage_class: Option<String>,
    pub template: VolumeTemplate,
    pub retain: bool,
    pub credentials: Credentials,
    pub rotation: Rotation,
    /// Patroni's settings, with the parameters.
    pub settings: Settings,
    /// What the pods were last restarted for.
    pub restarted_for: Option<String>,
    /// The uid of the claim that holds the data, once it exists.
    pub claim_uid: Option<String>,
    pub resources: Resources,
    /// Of the container that keeps the roles.
    pub roles_resources: Resources,
    pub pod_metadata: Metadata,
    pub service_metadata: Metadata,
    /// For how long a stop waits for batches.
    pub drain_seconds: i32,
}

const ROLES_AMOUNTS: Amounts = Amounts {
    cpu: "1m",
    memory: "16Mi",
    memory_limit: "128Mi",
};

/// What the `StatefulSet`'s template says of volumes, which cannot change when they grow.
#[derive(Clone, Debug)]
pub struct VolumeTemplate {
    pub size: Quantity,
    pub storage_class: Option<String>,
}

impl Database {
    pub(super) fn plan(
        observed: &Observed,
        pinned: &DatabaseStatus,
        images: &Images,
        fresh: Fresh,
    ) -> Result<Self, Invalid> {
        let environment = &observed.environment.spec;
        let spec = &environment.database;
        let claim = observed
            .claims
            .iter()
            .find(|claim| claim.name_any() == observed.identity.claim(0));
        let (version, image) = postgres(observed, pinned, images)?;
        let next_password = fresh.next_password.clone();
        let credentials = Credentials::take(
            observed.app_secret.as_ref(),
            observed.admin_secret.as_ref(),
            fresh,
        );
        let (credentials, rotation) = rotation::plan(observed, credentials, next_password);
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
        Ok(Self {
            version,
            image,
            own_image: spec.image.is_some(),
            drain_seconds: defaults.database_drain_seconds,
            instances: 1,
            template: template(observed).unwrap_or_else(|| VolumeTemplate {
                size: size.clone(),
                storage_class: spec.storage.storage_class_name.clone(),
            }),
            size,
            storage_class,
            retain: spec.storage.retain,
            credentials,
            rotation,
            settings: Settings::plan(observed, &spec.parameters, &defaults, &resources)?,
            restarted_for: restart::last(observed),
            claim_uid: claim
                .filter(|claim| claim.metadata.deletion_timestamp.is_none())
                .and_then(ResourceExt::uid),
            resources,
            roles_resources,
            pod_metadata: Metadata::of(spec.pod_metadata.as_ref(), "database.podMetadata")?,
            service_metadata: Metadata::of(spec.service_metadata.as_ref(), "database.serviceMetadata")?,
        })
    }
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
    let parse = |text: &str| {
        Quantity::parse(text).ok_or_else(|| Invalid::Quantity {
            field: "database.storage.size",
            value: text.to_owned(),
            example: "1Gi",
        })
    };
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
        (None, None) => parse(defaults(profile).volume)?,
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
