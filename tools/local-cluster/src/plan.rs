//! What a cluster consists of: every process with its arguments, what it waits for, and how it is known to be ready.
//! A plan is a value; the supervisor carries it out and knows nothing of Kubernetes.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::binaries::KubeBinaries;
use super::components;
use super::network::Network;
use super::state::State;

/// Everything the supervisor needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub cluster: String,
    pub nodes: Vec<NodePlan>,
    pub steps: Vec<Step>,
}

/// One node's place in the network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodePlan {
    pub index: u8,
    /// The host's end of the link.
    pub link: String,
    /// The host's address on it, with its prefix length.
    pub host: String,
    /// The node's address, with its prefix length.
    pub address: String,
    /// The host's address without the prefix length: the node's way to the other nodes.
    pub gateway: String,
    /// The node's address without the prefix length.
    pub via: String,
    /// What the host reaches through this node.
    pub routes: Vec<String>,
    /// The cluster's Services; an address among them that no Service has is answered as unreachable.
    pub services: String,
}

/// One step of the start: a process, a check, or both.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    /// The node in whose namespaces it runs; none: the host's.
    pub node: Option<u8>,
    pub process: Option<Program>,
    /// The steps that must be ready before this one starts.
    pub after: Vec<String>,
    pub ready: Check,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    pub path: PathBuf,
    pub arguments: Vec<String>,
}

/// A condition that is tried until it holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Check {
    /// Something listens on the port.
    Listens(SocketAddr),
    /// A plain HTTP GET is answered with 200.
    Http { address: SocketAddr, path: String },
    /// The socket takes connections.
    Socket(PathBuf),
    /// The command ends successfully.
    Command(Program),
    /// The step's log has a line with this text.
    Log(String),
}

/// The plan and the configuration files that it names.
pub struct Planned {
    pub plan: Plan,
    pub files: Vec<(PathBuf, String)>,
}

/// What a person asks for.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    /// `dev` or `test`.
    pub name: String,
    /// 1 to [`super::network::MAX_NODES`].
    pub nodes: u8,
    /// The image that holds pods' namespaces; see `tools/local-cluster/programs/pause`.
    pub pause_image: String,
    pub forwarder: Option<Forwarder>,
    pub leftovers: Leftovers,
    /// Seconds between two changes of the nodes' proxies, where they are to be as slow as in a large cluster.
    pub proxy_seconds: Option<u8>,
}

/// What becomes of a cluster that has ended by itself, by a crash or with the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    /// It is gone on with: its objects and volumes stay.
    Keep,
    Remove,
}

/// A port of the host that leads to a Service.
#[derive(Clone, Debug)]
pub struct Forwarder {
    pub listen: SocketAddr,
    pub namespace: String,
    pub service: String,
    pub port: u16,
}

impl Planned {
    pub fn new(spec: &ClusterSpec, binaries: &KubeBinaries) -> Result<Self> {
        let network = Network::of(&spec.name)?;
        let state = State::of(&spec.name);
        let nodes = (1..=spec.nodes)
            .map(|index| NodePlan::new(&network, index))
            .collect();
        let mut planned = Self {
            plan: Plan {
                cluster: spec.name.clone(),
                nodes,
                steps: Vec::new(),
            },
            files: Vec::new(),
        };
        components::add(&mut planned, spec, &network, &state, binaries)?;
        Ok(planned)
    }

    /// Two clusters of the same version are interchangeable.
    pub fn version(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(serde_json::to_vec(&self.plan)?);
        for (path, contents) in &self.files {
            hash.update(path.as_os_str().as_encoded_bytes());
            hash.update([0]);
            hash.update(contents);
            hash.update([0]);
        }
        Ok(short(hash))
    }
}

impl NodePlan {
    fn new(network: &Network, index: u8) -> Self {
        let mut routes = vec![network.node_pods(index).to_string()];
        if index == 1 {
            routes.push(network.services().to_string());
        }
        Self {
            index,
            link: network.link(index),
            host: network.host(index).to_string(),
            address: network.node(index).to_string(),
            gateway: network.host(index).address.to_string(),
            via: network.node(index).address.to_string(),
            routes,
            services: network.services().to_string(),
        }
    }
}

impl Program {
    pub fn new(path: &Path, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            path: path.to_path_buf(),
            arguments: arguments.into_iter().map(Into::into).collect(),
        }
    }
}

/// The beginning of a hash, long enough to tell versions apart.
pub fn short(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .take(8)
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The name of a node as Kubernetes knows it.
pub fn node_name(index: u8) -> String {
    format!("node-{index}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn planned(name: &str, nodes: u8) -> Planned {
        let spec = ClusterSpec {
            name: name.to_owned(),
            nodes,
            pause_image: "localhost/pause:1".to_owned(),
            forwarder: Some(Forwarder {
                listen: "127.0.0.1:3000".parse().unwrap(),
                namespace: "default".to_owned(),
                service: "development-api".to_owned(),
                port: 80,
            }),
            leftovers: Leftovers::Remove,
            proxy_seconds: None,
        };
        Planned::new(&spec, &KubeBinaries::in_folder(Path::new("/bin-folder"))).unwrap()
    }

    #[test]
    fn every_step_waits_only_for_steps_before_it() {
        let mut seen = BTreeSet::new();
        for step in planned("dev", 3).plan.steps {
            for name in &step.after {
                assert!(
                    seen.contains(name),
                    "{} waits for {name}, which does not come before it",
                    step.name
                );
            }
            assert!(
                seen.insert(step.name.clone()),
                "two steps are named {}",
                step.name
            );
        }
    }

    #[test]
    fn each_node_has_the_agents_and_only_the_first_the_control_plane() {
        let plan = planned("dev", 2).plan;
        let count = |program: &str| {
            plan.steps
                .iter()
                .filter(|step| step.name == program || step.name.starts_with(&format!("{program}-")))
                .count()
        };
        for program in ["containerd", "kubelet", "kube-proxy"] {
            assert_eq!(count(program), 2, "{program}");
        }
        for program in [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "coredns",
        ] {
            assert_eq!(count(program), 1, "{program}");
        }
    }

    #[test]
    fn the_version_follows_the_configuration_and_nothing_random() {
        assert_eq!(
            planned("dev", 1).version().unwrap(),
            planned("dev", 1).version().unwrap()
        );
        assert_ne!(
            planned("dev", 1).version().unwrap(),
            planned("dev", 2).version().unwrap()
        );
    }

    #[test]
    fn a_clusters_files_stay_below_its_state_folder() {
        for (path, _) in planned("test", 2).files {
            assert!(
                path.starts_with("/var/lib/rates-local-cluster/test"),
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn services_are_reached_through_the_first_node_only() {
        let nodes = planned("dev", 2).plan.nodes;
        assert_eq!(nodes[0].routes, ["198.18.64.0/24", "198.18.128.0/20"]);
        assert_eq!(nodes[1].routes, ["198.18.65.0/24"]);
    }
}
