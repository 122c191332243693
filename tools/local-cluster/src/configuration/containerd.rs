//! containerd's own configuration (version 2, of containerd 1.x) and the pods' network (CNI 1.0).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Containerd {
    version: u8,
    root: PathBuf,
    state: PathBuf,
    grpc: Grpc,
    plugins: BTreeMap<&'static str, Cri>,
}

#[derive(Debug, Serialize)]
struct Grpc {
    address: PathBuf,
}

#[derive(Debug, Serialize)]
struct Cri {
    sandbox_image: String,
    /// Where root may not lower a process's badness (no `CAP_SYS_RESOURCE`), pods could not start otherwise.
    restrict_oom_score_adj: bool,
    cni: Cni,
}

#[derive(Debug, Serialize)]
struct Cni {
    bin_dir: &'static str,
    conf_dir: PathBuf,
}

impl Containerd {
    pub fn new(root: PathBuf, socket: PathBuf, cni: PathBuf, pause_image: String) -> Self {
        Self {
            version: 2,
            root,
            // Each node has a /run of its own.
            state: PathBuf::from("/run/containerd"),
            grpc: Grpc { address: socket },
            plugins: BTreeMap::from([(
                "io.containerd.grpc.v1.cri",
                Cri {
                    sandbox_image: pause_image,
                    restrict_oom_score_adj: true,
                    cni: Cni {
                        bin_dir: "/usr/lib/cni",
                        conf_dir: cni,
                    },
                },
            )]),
        }
    }
}

/// Each pod is joined to its node by a link of its own and routed: unlike on a bridge, every packet
/// passes the node's firewall rules, where Services live, without further kernel modules.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodNetwork {
    cni_version: &'static str,
    name: &'static str,
    plugins: Vec<Plugin>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Plugin {
    #[serde(rename_all = "camelCase")]
    Ptp {
        ip_masq: bool,
        ipam: Ipam,
    },
    Portmap {
        capabilities: PortmapCapabilities,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PortmapCapabilities {
    port_mappings: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Ipam {
    r#type: &'static str,
    data_dir: &'static str,
    ranges: Vec<Vec<Range>>,
    routes: Vec<Route>,
}

#[derive(Debug, Serialize)]
struct Range {
    subnet: String,
}

#[derive(Debug, Serialize)]
struct Route {
    dst: &'static str,
}

impl PodNetwork {
    /// The network of one node, whose pods get addresses from `pods`.
    pub fn new(pods: String) -> Self {
        Self {
            cni_version: "1.0.0",
            name: "pods",
            plugins: vec![
                Plugin::Ptp {
                    ip_masq: false,
                    ipam: Ipam {
                        r#type: "host-local",
                        data_dir: "/run/pod-addresses",
                        ranges: vec![vec![Range { subnet: pods }]],
                        routes: vec![Route { dst: "0.0.0.0/0" }],
                    },
                },
                Plugin::Portmap {
                    capabilities: PortmapCapabilities { port_mappings: true },
                },
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containerds_configuration_is_the_toml_that_it_reads() {
        let value = Containerd::new(
            "/r".into(),
            "/s".into(),
            "/c".into(),
            "localhost/pause:1".to_owned(),
        );
        let text = toml::to_string(&value).unwrap();
        assert!(
            text.contains("[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"localhost/pause:1\""),
            "{text}"
        );
    }

    #[test]
    fn the_pods_network_names_its_plugins_as_cni_does() {
        let text = serde_json::to_string(&PodNetwork::new("198.18.64.0/24".to_owned())).unwrap();
        assert!(
            text.contains(r#"{"type":"ptp","ipMasq":false,"ipam":{"type":"host-local""#),
            "{text}"
        );
    }
}
