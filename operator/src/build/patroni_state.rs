//! The `ConfigMaps` in which Patroni keeps its state. They are made here, empty but for the settings
//! with which the cluster starts, and owned by the environment; database pods may change but not create them, so that a
//! dying one cannot leave one behind after its environment was deleted.
//!
//! Where the volumes of several instances are retained, the state is too: it says which of them hold all data.

use k8s_openapi::api::core::v1::ConfigMap;

use super::secrets::lifetime;
use crate::annotations::{PARAMETERS, PATRONI_CONFIG, PATRONI_INITIALIZE, SETTINGS};
use crate::identity::{Component, Lifetime};
use crate::plan::Environment;

pub fn build(environment: &Environment) -> Vec<ConfigMap> {
    let identity = &environment.identity;
    let lifetime = if environment.database.instances.replicated {
        lifetime(environment)
    } else {
        Lifetime::WithEnvironment
    };
    let config_map = |name| ConfigMap {
        metadata: identity.metadata_living(name, Component::Postgres, lifetime),
        ..ConfigMap::default()
    };
    let [mut settings, leader, failover, sync] = identity.patroni_state().map(config_map);
    let wanted = &environment.database.settings;
    settings
        .metadata
        .resource_version
        .clone_from(&wanted.resource_version);
    let annotations = settings.metadata.annotations.get_or_insert_default();
    annotations.insert(PATRONI_CONFIG.to_owned(), wanted.config.clone());
    annotations.insert(PARAMETERS.to_owned(), wanted.names.clone());
    if let Some(digest) = &wanted.digest {
        annotations.insert(SETTINGS.to_owned(), digest.clone());
    }
    // With another one, or none, the instances would take each other for strangers, or make a database anew.
    if let Some(identifier) = &environment.database.identifier {
        annotations.insert(PATRONI_INITIALIZE.to_owned(), identifier.clone());
    }
    vec![settings, leader, failover, sync]
}
