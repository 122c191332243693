//! `spec.expose`: a union written as a struct of optional members with a rule.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Where the API answers outside of the cluster: a host, and exactly one of gateway and ingress.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.gateway) != has(self.ingress)")
    .message("expose has exactly one of gateway and ingress: set gateway where the cluster has a Gateway (Gateway API), ingress where it has an ingress controller; leave expose out to be reached inside the cluster alone"))]
pub struct Expose {
    /// The host name, in lower case and without a wildcard. The operator makes no DNS record for
    /// it. Example: pr-42.rates.example.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$")
    )]
    pub host: String,

    /// The Gateway to which the operator attaches an HTTPRoute (gateway.networking.k8s.io/v1) named
    /// NAME-api. Example: {name: public, namespace: gateways, sectionName: https}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,

    /// An Ingress (networking.k8s.io/v1) named NAME-api. For the cluster's default class and no
    /// TLS: "ingress: {}".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Ingress>,
}

/// A Gateway of the Gateway API. The operator does not read it, so status.url says http, whether or
/// not its listener uses TLS.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// The Gateway's name.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub name: String,

    /// The Gateway's namespace. Default: the environment's. The Gateway's listener has to allow
    /// routes from the environment's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub namespace: Option<String>,

    /// The name of the Gateway's listener. Default: all listeners that match the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub section_name: Option<String>,
}

/// The settings of the Ingress.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// The IngressClass. Default: the cluster's default class. Example: nginx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub class_name: Option<String>,

    /// The Secret with the host's certificate (kubernetes.io/tls), in the environment's namespace;
    /// it may be created later. With it status.url says https. Default: no TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub tls_secret_name: Option<String>,
}
