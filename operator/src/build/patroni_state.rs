//! The `ConfigMaps` in which Patroni keeps its state. They are made here, empty but for the settings
//! with which the cluster starts, and owned by the environment; database pods may change but not create them, so that a dying one cannot leave
//! one behind after its environment was deleted.

use k8s_openapi::api::core::v1::ConfigMap;

use crate::annotations::{PARAMETERS, PATRONI_CONFIG};
use crate::identity::Component;
use crate::plan::Environment;

pub fn build(environment: &Environment) -> Vec<ConfigMap> {
    let identity = &environment.identity;
    let config_map = |name| ConfigMap {
        metadata: identity.metadata(name, Component::Postgres),
        ..ConfigMap::default()
    };
    let [mut settings, leader, failover, sync] = identity.patroni_state().map(config_map);
    let wanted = &environment.database.settings;
    settings
        .metadata
        .resource_version
        .clone_from(&wanted.resource_version);
    settings.metadata.annotations = Some(
        [(PATRONI_CONFIG, &wanted.config), (PARAMETERS, &wanted.names)]
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .into(),
    );
    vec![settings, leader, failover, sync]
}
