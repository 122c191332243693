//! Where a cluster keeps its files: outside every clone, so that any clone finds it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::process::Identity;

/// The folder of everything that outlives one run: built programs, images, clusters.
pub const ROOT: &str = "/var/lib/rates-local-cluster";

/// The cluster of `cargo xtask up`.
pub const DEV: &str = "dev";
/// The cluster of the tests and the benchmarks, which would measure each other if they ran at once.
pub const TEST: &str = "test";
/// Both have networks of their own and run side by side.
pub const CLUSTERS: [&str; 2] = [DEV, TEST];
/// The name under which a forwarder to somebody else's cluster is supervised.
pub const FORWARD_ONLY: &str = "forward";
/// The same of the forwarder to Prometheus of `up --monitoring`: a part of the cluster's plan would make a cluster
/// without it another one, that could not be gone on with.
pub const MONITORING: &str = "monitoring";
/// What is supervised and is no cluster.
pub const FORWARDERS: [&str; 2] = [FORWARD_ONLY, MONITORING];
/// The file with the supervisor's [`OpenNamespaces`].
pub const NAMESPACES: &str = "namespaces.json";

/// The folder of one cluster. A cluster that is down has none; one that ended by itself has all of it.
#[derive(Clone, Debug)]
pub struct State {
    pub name: String,
    pub folder: PathBuf,
}

/// What a cluster was made from; compared by the next `up`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// A hash of the programs and of their whole configuration.
    pub version: String,
    /// The clone that started it.
    pub clone: PathBuf,
    pub nodes: u8,
    /// What the programs were built from; in use as long as the cluster is there.
    pub programs: PathBuf,
}

/// How far the supervisor has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    pub phase: Phase,
    pub steps: Vec<StepStatus>,
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Starting,
    Ready,
    Failed,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepStatus {
    pub name: String,
    /// Seconds from the step's start until it was ready; none yet otherwise.
    pub seconds: Option<f64>,
    /// The process that runs now, for a step that has one.
    pub process: Option<Identity>,
    /// How often it was started again after it had ended.
    pub restarts: u32,
}

/// The descriptors under which the supervisor holds a node's namespaces open.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct OpenNamespaces {
    pub network: i32,
    pub mounts: i32,
}

impl State {
    pub fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            folder: Path::new(ROOT).join(name),
        }
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.join(relative)
    }

    pub fn node(&self, node: u8) -> PathBuf {
        self.folder.join(format!("node-{node}"))
    }

    pub fn log(&self, component: &str) -> PathBuf {
        self.folder.join("log").join(format!("{component}.log"))
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// There while the node is lost: its supervisor starts nothing of it.
    pub fn lost(&self, node: u8) -> PathBuf {
        self.node(node).join("lost")
    }

    /// The namespaces of each node, as the supervisor wrote them down; none before that.
    pub fn namespaces(&self) -> BTreeMap<u8, OpenNamespaces> {
        read(&self.path(NAMESPACES)).unwrap_or_default()
    }

    pub fn containerd_socket(&self, node: u8) -> PathBuf {
        self.node(node).join("containerd.sock")
    }

    /// Whether a volume was made in it that is still there.
    pub fn has_volumes(&self) -> bool {
        let nodes = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        nodes
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("node-"))
            .filter_map(|entry| fs::read_dir(entry.path().join("volumes")).ok())
            .any(|mut volumes| volumes.next().is_some())
    }

    /// Puts aside what the next supervisor and `up` would take for news of theirs. The logs of the last life stay beside
    /// the new ones.
    pub fn begin_another_life(&self) -> Result<()> {
        let (log, last) = (self.path("log"), self.path("log.last"));
        let begin = || -> std::io::Result<()> {
            for file in ["status.json", "supervisor.json"] {
                gone(fs::remove_file(self.path(file)))?;
            }
            for node in self.namespaces().into_keys() {
                gone(fs::remove_file(self.lost(node)))?;
            }
            gone(fs::remove_file(self.path(NAMESPACES)))?;
            if log.exists() {
                gone(fs::remove_dir_all(&last))?;
                fs::rename(&log, &last)?;
            }
            Ok(())
        };
        begin().with_context(|| format!("cannot put aside what is left in {}", self.folder.display()))
    }

    pub fn record(&self) -> Option<Record> {
        read(&self.path("cluster.json"))
    }

    pub fn supervisor(&self) -> Option<Identity> {
        read(&self.path("supervisor.json"))
    }

    pub fn status(&self) -> Option<Status> {
        read(&self.path("status.json"))
    }

    /// Takes the lock under which this cluster is started or ended; waits for whoever has it.
    pub fn lock(&self) -> Result<fs::File> {
        host::lock::hold(
            &Path::new(ROOT).join("locks").join(&self.name),
            &format!("another command that is at work on cluster {}", self.name),
        )
    }
}

/// Takes the lock of a cluster for as long as a command uses it, from before its start until its end; waits for whoever
/// has it. The other lock is held while a cluster is started or ended, and others may look for it meanwhile.
pub fn use_alone(name: &str) -> Result<fs::File> {
    host::lock::hold(
        &Path::new(ROOT).join("locks").join(format!("{name}-in-use")),
        &format!("another command that uses cluster {name}"),
    )
}

/// What is not there needs not be moved.
fn gone(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a JSON file so that a reader, or a crash, sees the old one or the new one.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text =
        serde_json::to_vec_pretty(value).with_context(|| format!("cannot write {}", path.display()))?;
    text.push(b'\n');
    let temporary = path.with_extension("new");
    fs::write(&temporary, text)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a file that only root may read, and the folders above it.
pub fn write_private(path: &Path, contents: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = fs::File::create(path)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(contents.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The last lines of a log, for an error message.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let start = text.len().saturating_sub(16 * 1024);
    let text = String::from_utf8_lossy(&text[start..]);
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
