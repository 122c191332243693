//! The Kubernetes objects that make the host's processes part of the cluster.

use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What every cluster has from the start: the default `StorageClass` and metrics-server's Service.
pub fn base(metrics_server: Ipv4Addr) -> Value {
    list(vec![
        json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": "local-path",
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "rates.internal/directories",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Delete",
        }),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "metrics-server", "namespace": "kube-system"},
            "spec": {"ports": [{"port": 443, "targetPort": 4443}]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "metrics-server-host",
                "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": "metrics-server"},
            },
            "addressType": "IPv4",
            "ports": [{"name": "", "port": 4443, "protocol": "TCP"}],
            "endpoints": [{"addresses": [metrics_server.to_string()], "conditions": {"ready": true}}],
        }),
    ])
}

/// Makes metrics-server part of the API, once it answers: a part of the API that does not
/// answer would hold up the deletion of every namespace.
pub fn metrics_api(authority: &str) -> Value {
    list(vec![json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "service": {"name": "metrics-server", "namespace": "kube-system"},
            "caBundle": STANDARD.encode(authority),
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    })])
}

#[expect(clippy::needless_pass_by_value, reason = "the objects are made for this list")]
fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}
