//! `kubelet.config.k8s.io/v1beta1`

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the fields are those of the kubelet's own format"
)]
pub struct Kubelet {
    api_version: &'static str,
    kind: &'static str,
    address: Ipv4Addr,
    authentication: Authentication,
    authorization: Authorization,
    tls_cert_file: PathBuf,
    tls_private_key_file: PathBuf,
    cgroup_driver: &'static str,
    cgroup_root: String,
    #[serde(rename = "clusterDNS")]
    cluster_dns: Vec<Ipv4Addr>,
    cluster_domain: &'static str,
    container_runtime_endpoint: String,
    eviction_hard: BTreeMap<&'static str, &'static str>,
    fail_cgroup_v1: bool,
    fail_swap_on: bool,
    /// 100 switches the removal of unused images off: there is no registry to get them back from.
    #[serde(rename = "imageGCHighThresholdPercent")]
    image_gc_high_threshold_percent: u8,
    #[serde(rename = "imageMaximumGCAge")]
    image_maximum_gc_age: &'static str,
    max_pods: u16,
    oom_score_adj: i32,
    pod_logs_dir: PathBuf,
    /// Refuse to start rather than change kernel settings of the whole machine; see `node.rs`.
    protect_kernel_defaults: bool,
    read_only_port: u16,
    /// An empty file: pods get no resolver but the cluster's.
    resolv_conf: PathBuf,
    serialize_image_pulls: bool,
    /// How soon a changed Secret or ConfigMap is seen in a running pod, at the latest.
    sync_frequency: &'static str,
    volume_plugin_dir: PathBuf,
}

#[derive(Debug, Serialize)]
struct Authentication {
    anonymous: Enabled,
    webhook: Enabled,
    x509: X509,
}

#[derive(Debug, Serialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct X509 {
    #[serde(rename = "clientCAFile")]
    client_ca_file: PathBuf,
}

#[derive(Debug, Serialize)]
struct Authorization {
    mode: &'static str,
}

/// What differs from node to node.
#[derive(Debug)]
pub struct Node {
    pub address: Ipv4Addr,
    pub dns: Ipv4Addr,
    pub cgroup_root: String,
    pub containerd: PathBuf,
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub resolv_conf: PathBuf,
    /// The node's own folder.
    pub folder: PathBuf,
}

impl Kubelet {
    pub fn new(node: Node) -> Self {
        Self {
            api_version: "kubelet.config.k8s.io/v1beta1",
            kind: "KubeletConfiguration",
            address: node.address,
            authentication: Authentication {
                anonymous: Enabled { enabled: false },
                webhook: Enabled { enabled: true },
                x509: X509 {
                    client_ca_file: node.authority,
                },
            },
            authorization: Authorization { mode: "Webhook" },
            tls_cert_file: node.certificate,
            tls_private_key_file: node.key,
            cgroup_driver: "cgroupfs",
            cgroup_root: node.cgroup_root,
            cluster_dns: vec![node.dns],
            cluster_domain: "cluster.local",
            container_runtime_endpoint: format!("unix://{}", node.containerd.display()),
            eviction_hard: BTreeMap::from([
                ("memory.available", "100Mi"),
                ("nodefs.available", "1%"),
                ("imagefs.available", "1%"),
            ]),
            fail_cgroup_v1: false,
            fail_swap_on: false,
            image_gc_high_threshold_percent: 100,
            image_maximum_gc_age: "0s",
            max_pods: 250,
            oom_score_adj: 0,
            pod_logs_dir: node.folder.join("pod-logs"),
            protect_kernel_defaults: true,
            read_only_port: 0,
            resolv_conf: node.resolv_conf,
            serialize_image_pulls: false,
            sync_frequency: "10s",
            volume_plugin_dir: node.folder.join("volume-plugins"),
        }
    }
}
