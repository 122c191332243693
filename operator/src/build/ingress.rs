//! The way in through an ingress controller.

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend,
    IngressSpec, IngressTLS, ServiceBackendPort,
};

use crate::identity::Component;
use crate::plan::{Environment, Exposure};

pub fn build(environment: &Environment) -> Option<Ingress> {
    let Exposure::Ingress { host, ingress } = &environment.exposure else {
        return None;
    };
    let identity = &environment.identity;
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name: identity.api(),
            port: Some(ServiceBackendPort {
                number: Some(80),
                name: None,
            }),
        }),
        resource: None,
    };
    let tls = |secret: &String| IngressTLS {
        hosts: Some(vec![host.clone()]),
        secret_name: Some(secret.clone()),
    };
    Some(Ingress {
        metadata: identity.metadata(identity.api(), Component::Api),
        spec: Some(IngressSpec {
            ingress_class_name: ingress.class_name.clone(),
            rules: Some(vec![IngressRule {
                host: Some(host.clone()),
                http: Some(HTTPIngressRuleValue {
                    paths: vec![HTTPIngressPath {
                        path: Some("/".to_owned()),
                        path_type: "Prefix".to_owned(),
                        backend,
                    }],
                }),
            }]),
            tls: ingress.tls_secret_name.as_ref().map(|secret| vec![tls(secret)]),
            default_backend: None,
        }),
        ..Ingress::default()
    })
}
