//! `kubeproxy.config.k8s.io/v1alpha1`

use std::path::PathBuf;

use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeProxy {
    api_version: &'static str,
    kind: &'static str,
    mode: &'static str,
    #[serde(rename = "clusterCIDR")]
    cluster_cidr: String,
    client_connection: ClientConnection,
    conntrack: Conntrack,
    hostname_override: String,
    healthz_bind_address: &'static str,
    metrics_bind_address: &'static str,
    oom_score_adj: i32,
}

#[derive(Debug, Serialize)]
struct ClientConnection {
    kubeconfig: PathBuf,
}

/// Zeros leave the kernel's limits as they are: they belong to the whole machine.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Conntrack {
    max_per_core: u32,
    min: u32,
    tcp_established_timeout: &'static str,
    tcp_close_wait_timeout: &'static str,
}

impl KubeProxy {
    pub fn new(node: String, pods: String, kubeconfig: PathBuf) -> Self {
        Self {
            api_version: "kubeproxy.config.k8s.io/v1alpha1",
            kind: "KubeProxyConfiguration",
            mode: "iptables",
            cluster_cidr: pods,
            client_connection: ClientConnection { kubeconfig },
            conntrack: Conntrack {
                max_per_core: 0,
                min: 0,
                tcp_established_timeout: "0s",
                tcp_close_wait_timeout: "0s",
            },
            hostname_override: node,
            healthz_bind_address: "127.0.0.1:10256",
            metrics_bind_address: "127.0.0.1:10249",
            oom_score_adj: 0,
        }
    }
}
