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
    #[serde(skip_serializing_if = "Option::is_none")]
    iptables: Option<Iptables>,
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

/// What is left out is as by default.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Iptables {
    min_sync_period: String,
}

impl KubeProxy {
    /// `min_sync_seconds` is the time between two changes of the rules: the proxies of a large cluster are as slow.
    pub fn new(node: String, pods: String, kubeconfig: PathBuf, min_sync_seconds: Option<u8>) -> Self {
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
            iptables: min_sync_seconds.map(|seconds| Iptables {
                min_sync_period: format!("{seconds}s"),
            }),
            hostname_override: node,
            healthz_bind_address: "127.0.0.1:10256",
            metrics_bind_address: "127.0.0.1:10249",
            oom_score_adj: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slowed_proxy_waits_between_two_changes_and_others_have_the_default() {
        let iptables = |seconds| {
            let proxy = KubeProxy::new("n".to_owned(), "p".to_owned(), PathBuf::new(), seconds);
            serde_json::to_value(proxy).unwrap()["iptables"].clone()
        };
        assert_eq!(iptables(Some(5)), serde_json::json!({"minSyncPeriod": "5s"}));
        assert_eq!(iptables(None), serde_json::Value::Null);
    }
}
