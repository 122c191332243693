//! The route through a Gateway, of the Gateway API. Its types are not Kubernetes' own, so the part
//! of them that is used is written down here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

use crate::identity::Component;
use crate::validate::{Environment, Exposure};

/// What is used of an `HTTPRoute`'s specification.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "HTTPRoute",
    namespaced,
    status = "HttpRouteStatus",
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    #[serde(default)]
    pub parent_refs: Vec<ParentReference>,
    #[serde(default)]
    pub hostnames: Vec<String>,
    #[serde(default)]
    pub rules: Vec<HttpRouteRule>,
}

/// The Gateway that a route is attached to.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRule {
    #[serde(default)]
    pub backend_refs: Vec<BackendReference>,
}

/// The Service that answers.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct BackendReference {
    pub name: String,
    pub port: i32,
}

/// What gateways say of a route.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct HttpRouteStatus {
    #[serde(default)]
    pub parents: Vec<ParentStatus>,
}

/// What one gateway says.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ParentStatus {
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

pub fn build(environment: &Environment) -> Option<HTTPRoute> {
    let Exposure::Gateway { host, gateway } = &environment.exposure else {
        return None;
    };
    let identity = &environment.identity;
    Some(HTTPRoute {
        metadata: identity.metadata(identity.api(), Component::Api),
        spec: HttpRouteSpec {
            parent_refs: vec![ParentReference {
                name: gateway.name.clone(),
                namespace: gateway.namespace.clone(),
                section_name: gateway.section_name.clone(),
            }],
            hostnames: vec![host.clone()],
            rules: vec![HttpRouteRule {
                backend_refs: vec![BackendReference {
                    name: identity.api(),
                    port: 80,
                }],
            }],
        },
        status: None,
    })
}
