//! The volumes' claims, made under the names that the `StatefulSet` expects, so that they have an
//! owner and can grow.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::secrets::lifetime;
use crate::annotations::HOLDS;
use crate::identity::Component;
use crate::plan::Environment;

pub fn build(environment: &Environment) -> Vec<PersistentVolumeClaim> {
    if environment.sleep.has_no_volume() {
        return Vec::new();
    }
    let identity = &environment.identity;
    let database = &environment.database;
    (0..database.instances.wanted)
        .map(|ordinal| PersistentVolumeClaim {
            metadata: metadata(environment, identity.claim(ordinal)),
            spec: Some(spec(database.size.as_str(), database.storage_class.clone())),
            ..PersistentVolumeClaim::default()
        })
        .collect()
}

/// With the mark of the data of which the claim holds a copy.
fn metadata(environment: &Environment, name: String) -> ObjectMeta {
    let held = environment.database.holders.get(&name).cloned();
    let identity = &environment.identity;
    let mut metadata = identity.metadata_living(name, Component::Postgres, lifetime(environment));
    if let Some(identifier) = held {
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(HOLDS.to_owned(), identifier);
    }
    metadata
}

/// A claim's specification, which the `StatefulSet`'s template repeats.
pub fn spec(size: &str, storage_class: Option<String>) -> PersistentVolumeClaimSpec {
    PersistentVolumeClaimSpec {
        access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
        resources: Some(VolumeResourceRequirements {
            requests: Some(BTreeMap::from([(
                "storage".to_owned(),
                Quantity(size.to_owned()),
            )])),
            ..VolumeResourceRequirements::default()
        }),
        storage_class_name: storage_class,
        ..PersistentVolumeClaimSpec::default()
    }
}
