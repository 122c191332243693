//! While an environment sleeps, one more `EndpointSlice` of the API's Service leads to the activator; two where the Service
//! has addresses of both families.
//!
//! The proxies of the nodes put the slices of a Service together by the name of the port, and each slice may have another
//! number: by the number the activator knows for which environment a connection is.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};

use crate::identity::{Component, Identity, MANAGER, SLICE_MANAGER_LABEL};
use crate::plan::{Detour, Environment};
use crate::surroundings::ActivatorPod;

const SERVICE_LABEL: &str = "kubernetes.io/service-name";

const IPV4: &str = "IPv4";
const IPV6: &str = "IPv6";

pub fn build(environment: &Environment) -> Vec<EndpointSlice> {
    let Some(detour) = &environment.sleep.detour else {
        return Vec::new();
    };
    let identity = &environment.identity;
    let mut slices = vec![
        slice(identity, detour, identity.activator_slice(), IPV4),
        slice(identity, detour, identity.activator_slice_ipv6(), IPV6),
    ];
    slices.retain(|slice| detour.families.contains(&slice.address_type));
    slices
}

/// A slice has addresses of one family.
fn slice(identity: &Identity, detour: &Detour, name: String, family: &str) -> EndpointSlice {
    let mut metadata = identity.metadata(name, Component::Api);
    metadata.labels.get_or_insert_default().extend([
        (SERVICE_LABEL.to_owned(), identity.api()),
        (SLICE_MANAGER_LABEL.to_owned(), MANAGER.to_owned()),
    ]);
    EndpointSlice {
        metadata,
        address_type: family.to_owned(),
        endpoints: detour
            .pods
            .iter()
            .filter_map(|pod| endpoint(pod, family))
            .collect(),
        ports: Some(vec![EndpointPort {
            name: Some("http".to_owned()),
            port: Some(detour.port),
            protocol: Some("TCP".to_owned()),
            ..EndpointPort::default()
        }]),
    }
}

fn is_of(address: &str, family: &str) -> bool {
    match address.parse() {
        Ok(IpAddr::V6(_)) => family == IPV6,
        Ok(IpAddr::V4(_)) => family == IPV4,
        Err(_) => false,
    }
}

fn endpoint(pod: &ActivatorPod, family: &str) -> Option<Endpoint> {
    let address = pod.addresses.iter().find(|address| is_of(address, family))?;
    Some(Endpoint {
        addresses: vec![address.clone()],
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
    })
}
