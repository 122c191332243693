//! The way in through a Gateway.

use serde_json::json;

use crate::http_route::{BackendReference, HTTPRoute, HttpRouteRule, HttpRouteSpec, ParentReference};
use crate::identity::Component;
use crate::plan::{Environment, Exposure};

pub fn build(environment: &Environment) -> Option<HTTPRoute> {
    let Exposure::Gateway { host, gateway } = &environment.exposure else {
        return None;
    };
    let identity = &environment.identity;
    // With the defaults of the Gateway API: an atomic list is compared as a whole.
    Some(HTTPRoute {
        metadata: identity.metadata(identity.api(), Component::Api),
        spec: HttpRouteSpec {
            parent_refs: vec![ParentReference {
                group: Some("gateway.networking.k8s.io".to_owned()),
                kind: Some("Gateway".to_owned()),
                name: gateway.name.clone(),
                namespace: gateway.namespace.clone(),
                section_name: gateway.section_name.clone(),
                port: None,
            }],
            hostnames: vec![host.clone()],
            rules: vec![HttpRouteRule {
                matches: vec![json!({"path": {"type": "PathPrefix", "value": "/"}})],
                backend_refs: vec![BackendReference {
                    group: Some(String::new()),
                    kind: Some("Service".to_owned()),
                    name: identity.api(),
                    port: Some(80),
                    weight: Some(1),
                    ..BackendReference::default()
                }],
                ..HttpRouteRule::default()
            }],
        },
        status: None,
    })
}
