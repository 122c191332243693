//! What a cluster consists of: every process with its arguments, what it waits for, and how it is known to be ready.
//! A plan is a value; the supervisor carries it out and knows nothing of Kubernetes.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::network::Network;

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
    /// A file system for its volumes.
    pub volumes: Option<FileSystem>,
    /// The cluster's Services; an address among them that no Service has is answered as unreachable.
    pub services: String,
}

/// A file that is mounted as a file system of its size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileSystem {
    pub file: PathBuf,
    pub mib: u32,
    pub target: PathBuf,
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
    /// The size of a file system of each node's own, which all volumes on it share, where one is to be filled; none: they
    /// are on the machine's.
    pub volume_mib: Option<u32>,
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
    pub fn new(network: &Network, index: u8) -> Self {
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
            volumes: None,
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

/// The step that leads a port of the host to a Service.
pub const FORWARDER: &str = "forwarder";

/// The name of a node as Kubernetes knows it.
pub fn node_name(index: u8) -> String {
    format!("node-{index}")
}
