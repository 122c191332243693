//! The `ConfigMaps` in which Patroni keeps its state. They are made here, empty, and owned by the
//! environment; database pods may change but not create them, so that a dying one cannot leave
//! one behind after its environment was deleted.

use k8s_openapi::api::core::v1::ConfigMap;

use crate::identity::Component;
use crate::validate::Environment;

pub fn build(environment: &Environment) -> Vec<ConfigMap> {
    let identity = &environment.identity;
    let config_map = |name| ConfigMap {
        metadata: identity.metadata(name, Component::Postgres),
        ..ConfigMap::default()
    };
    identity.patroni_state().map(config_map).into()
}
