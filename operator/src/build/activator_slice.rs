//! While an environment sleeps, one more `EndpointSlice` of the API's Service leads to the activator.
//!
//! The proxies of the nodes put the slices of a Service together by the name of the port, and each slice may have another
//! number: by the number the activator knows for which environment a connection is.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};

use crate::identity::{Component, MANAGER, SLICE_MANAGER_LABEL};
use crate::plan::{Detour, Environment};
use crate::surroundings::ActivatorPod;

const SERVICE_LABEL: &str = "kubernetes.io/service-name";

pub fn build(environment: &Environment) -> Option<EndpointSlice> {
    let Detour { port, pods } = environment.sleep.detour.as_ref()?;
    let identity = &environment.identity;
    let mut metadata = identity.metadata(identity.activator_slice(), Component::Api);
    metadata.labels.get_or_insert_default().extend([
        (SERVICE_LABEL.to_owned(), identity.api()),
        (SLICE_MANAGER_LABEL.to_owned(), MANAGER.to_owned()),
    ]);
    // A slice has addresses of one family.
    let address_type = pods.first().map_or("IPv4", |pod| family(&pod.address));
    let of_it = pods.iter().filter(|pod| family(&pod.address) == address_type);
    Some(EndpointSlice {
        metadata,
        address_type: address_type.to_owned(),
        endpoints: of_it.map(endpoint).collect(),
        ports: Some(vec![EndpointPort {
            name: Some("http".to_owned()),
            port: Some(*port),
            protocol: Some("TCP".to_owned()),
            ..EndpointPort::default()
        }]),
    })
}

fn family(address: &str) -> &'static str {
    match address.parse() {
        Ok(IpAddr::V6(_)) => "IPv6",
        Ok(IpAddr::V4(_)) | Err(_) => "IPv4",
    }
}

fn endpoint(pod: &ActivatorPod) -> Endpoint {
    Endpoint {
        addresses: vec![pod.address.clone()],
        // Some gateways pass over what is not said to be ready.
        conditions: Some(EndpointConditions {
            ready: Some(true),
            serving: Some(true),
            terminating: Some(false),
        }),
        node_name: pod.node.clone(),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            name: Some(pod.name.clone()),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}
