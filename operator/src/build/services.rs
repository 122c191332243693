//! The Services of the database: the primary, the standbys that are ready (with one instance, that one), and each
//! instance by name.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::identity::{Component, ROLE_LABEL};
use crate::plan::{Environment, Metadata};

pub fn build(environment: &Environment) -> Vec<Service> {
    let identity = &environment.identity;
    let instances = identity.selector(Component::Postgres);
    let with_role = |role: &str| {
        let mut selector = instances.clone();
        selector.insert(ROLE_LABEL.to_owned(), role.to_owned());
        selector
    };
    let primary = with_role("primary");
    // Only standbys, even if none is ready: the primary would get all reads just when it has the least to spare.
    let readable = if environment.database.instances.wanted > 1 {
        with_role("replica")
    } else {
        instances.clone()
    };
    let headless = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        publish_not_ready_addresses: Some(true),
        ..spec(instances.clone(), "postgres", 5432)
    };
    // Patroni's label says which pod takes writes, as soon as it does; a probe would only add its period, and
    // there is no other pod to turn to.
    let writable = ServiceSpec {
        publish_not_ready_addresses: Some(true),
        ..spec(primary, "postgres", 5432)
    };
    let theirs = &environment.database.service_metadata;
    let service = |name, spec| service(identity.metadata(name, Component::Postgres), theirs, spec);
    vec![
        service(identity.postgres(), writable),
        service(identity.postgres_ro(), spec(readable, "postgres", 5432)),
        service(identity.postgres_headless(), headless),
    ]
}

/// A Service with the labels and annotations that people give it, beside ours.
pub fn service(mut metadata: ObjectMeta, theirs: &Metadata, spec: ServiceSpec) -> Service {
    let labels = metadata.labels.get_or_insert_default();
    for (key, value) in &theirs.labels {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    metadata.annotations = Some(theirs.annotations.clone()).filter(|theirs| !theirs.is_empty());
    Service {
        metadata,
        spec: Some(spec),
        ..Service::default()
    }
}

/// A Service whose port leads to the pods' port of the same name.
pub fn spec(selector: BTreeMap<String, String>, port: &str, number: i32) -> ServiceSpec {
    ServiceSpec {
        selector: Some(selector),
        ports: Some(vec![ServicePort {
            name: Some(port.to_owned()),
            port: number,
            protocol: Some("TCP".to_owned()),
            target_port: Some(IntOrString::String(port.to_owned())),
            ..ServicePort::default()
        }]),
        ..ServiceSpec::default()
    }
}
