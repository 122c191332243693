//! The control groups of a cluster. Every process of it, down to the pods', lives below
//! `/rates-local-cluster/NAME`: the kernel keeps the list, so that ending a cluster misses
//! no process, whoever started it and however `up` ended.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::controllers::RootControllers;
use super::freezer;
use super::group_tree::{collect, walk};
use super::mounts;
use super::process::kill_if;

/// The top of all clusters' groups, in each hierarchy.
pub const TOP: &str = "rates-local-cluster";
/// A node's own processes, beside those of its pods.
const AGENTS: &str = "agents";

/// The kernel's hierarchies of control groups, as this machine has mounted them.
#[derive(Debug)]
pub struct Hierarchies {
    version: Version,
    /// The hierarchy that answers which processes belong to a cluster.
    tracking: PathBuf,
    /// The one whose groups can be frozen.
    freezing: Option<PathBuf>,
    all: Vec<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
enum Version {
    /// One hierarchy a controller.
    V1,
    /// One for all.
    V2,
}

impl Hierarchies {
    /// Finds the hierarchies among this machine's mounts.
    pub fn find() -> Result<Self> {
        Self::among(&mounts::list()?)
    }

    fn among(mounts: &[mounts::Mount]) -> Result<Self> {
        let v1: Vec<_> = mounts.iter().filter(|mount| mount.kind == "cgroup").collect();
        if v1.is_empty() {
            let Some(v2) = mounts.iter().find(|mount| mount.kind == "cgroup2") else {
                bail!("no control groups are mounted below /sys/fs/cgroup: pods cannot run without them");
            };
            return Ok(Self {
                version: Version::V2,
                tracking: v2.target.clone(),
                freezing: Some(v2.target.clone()),
                all: vec![v2.target.clone()],
            });
        }
        let with = |controller: &str| v1.iter().find(|mount| mount.has_option(controller));
        let Some(tracking) = with("pids")
            .or_else(|| with("freezer"))
            .or_else(|| with("name=systemd"))
        else {
            bail!("neither of the control groups pids, freezer and systemd is mounted below /sys/fs/cgroup");
        };
        Ok(Self {
            version: Version::V1,
            tracking: tracking.target.clone(),
            freezing: with("freezer").map(|mount| mount.target.clone()),
            all: v1.iter().map(|mount| mount.target.clone()).collect(),
        })
    }

    /// Makes the cluster's groups: one for the processes that we start, one a node for its pods.
    pub fn create(&self, cluster: &str, nodes: u8) -> Result<()> {
        match self.version {
            Version::V1 => {
                self.create_v1(&self.tracking, &[TOP, cluster, "system"])?;
                for hierarchy in &self.all {
                    for node in 1..=nodes {
                        self.create_v1(hierarchy, &[TOP, cluster, &format!("node-{node}")])?;
                    }
                }
                if let Some(hierarchy) = &self.freezing {
                    for node in 1..=nodes {
                        self.create_v1(hierarchy, &[TOP, cluster, &format!("node-{node}"), AGENTS])?;
                    }
                }
            }
            Version::V2 => {
                let _lock = RootControllers::hold()?;
                RootControllers::of(&self.tracking).enable()?;
                self.create_v2(&[TOP, cluster, "system"])?;
                for node in 1..=nodes {
                    self.create_v2(&[TOP, cluster, &format!("node-{node}"), AGENTS])?;
                }
            }
        }
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "the counterpart of create_v2")]
    fn create_v1(&self, hierarchy: &Path, names: &[&str]) -> Result<()> {
        let mut path = hierarchy.to_path_buf();
        for name in names {
            let parent = path.clone();
            path.push(name);
            make(&path)?;
            // A group of this controller takes no process before these two are filled in.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let from = parent.join(file);
                if from.exists() {
                    let value = fs::read_to_string(&from)
                        .with_context(|| format!("cannot read {}", from.display()))?;
                    write(&path.join(file), value.trim())?;
                }
            }
        }
        Ok(())
    }

    fn create_v2(&self, names: &[&str]) -> Result<()> {
        let mut path = self.tracking.clone();
        for (depth, name) in names.iter().enumerate() {
            // The machine's root has what it needs already.
            if depth > 0 {
                enable_all(&path)?;
            }
            path.push(name);
            make(&path)?;
        }
        Ok(())
    }

    /// Moves this process, and with it all that it will start, into the cluster's group.
    pub fn join(&self, cluster: &str) -> Result<()> {
        write(
            &self.tracking.join(TOP).join(cluster).join("system/cgroup.procs"),
            &std::process::id().to_string(),
        )
    }

    /// Moves a process of a node, and with it all that it will start, to the node's pods where groups are frozen: all of a
    /// node can then be stopped at once.
    pub fn adopt(&self, cluster: &str, node: u8, pid: u32) -> Result<()> {
        let Some(group) = self.node_group(cluster, node) else {
            return Ok(());
        };
        write(&group.join(AGENTS).join("cgroup.procs"), &pid.to_string())
    }

    /// The group that has every process of a node; none where the kernel cannot freeze groups.
    pub fn node_group(&self, cluster: &str, node: u8) -> Option<PathBuf> {
        let hierarchy = self.freezing.as_ref()?;
        Some(hierarchy.join(TOP).join(cluster).join(format!("node-{node}")))
    }

    /// The group of a cluster in which processes are looked for.
    pub fn cluster_group(&self, cluster: &str) -> PathBuf {
        self.tracking.join(TOP).join(cluster)
    }

    /// What the kubelet calls a node's group.
    pub fn node_root(cluster: &str, node: u8) -> String {
        format!("/{TOP}/{cluster}/node-{node}")
    }

    /// The pids of all processes of the cluster.
    fn members(&self, cluster: &str) -> BTreeSet<i32> {
        let mut pids = BTreeSet::new();
        collect(&self.cluster_group(cluster), &mut pids);
        pids
    }

    /// Ends every process of the cluster and waits until none is left.
    fn kill_all(&self, cluster: &str, deadline: Instant) -> Result<()> {
        let inside = format!("/{TOP}/{cluster}/");
        loop {
            // What is frozen takes no signal in version 1.
            if let Some(hierarchy) = &self.freezing {
                freezer::thaw_all(&hierarchy.join(TOP).join(cluster));
            }
            let members = self.members(cluster);
            if members.is_empty() {
                return Ok(());
            }
            for pid in &members {
                kill_if(*pid, || {
                    fs::read_to_string(format!("/proc/{pid}/cgroup"))
                        .is_ok_and(|groups| groups.contains(&inside))
                });
            }
            if Instant::now() > deadline {
                bail!("these processes of cluster {cluster} do not end: {members:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends every process of the cluster and removes its groups, and the clusters' common one when it
    /// was the last.
    pub fn clear(&self, cluster: &str, deadline: Instant) -> Result<()> {
        self.kill_all(cluster, deadline)?;
        for hierarchy in &self.all {
            let top = hierarchy.join(TOP);
            let group = top.join(cluster);
            // A group whose last process has just ended can stay busy for a moment, and a supervisor that
            // was started just before may join it only now.
            while let Err(error) = remove_tree(&group) {
                if Instant::now() > deadline {
                    return Err(error)
                        .with_context(|| format!("cannot remove the control group {}", group.display()));
                }
                self.kill_all(cluster, deadline)?;
                std::thread::sleep(Duration::from_millis(20));
            }
            // Fails, as it should, while another cluster is there.
            let _ = fs::remove_dir(&top);
        }
        if self.version == Version::V2 {
            let _lock = RootControllers::hold()?;
            if !self.tracking.join(TOP).exists() {
                RootControllers::of(&self.tracking).restore()?;
            }
        }
        Ok(())
    }

    /// Whether the cluster has a group in any hierarchy.
    pub fn exist(&self, cluster: &str) -> bool {
        self.all
            .iter()
            .any(|hierarchy| hierarchy.join(TOP).join(cluster).exists())
    }

    /// The controllers that are on for all groups of the machine, where the kernel lets them be turned on and off.
    pub fn controllers(&self) -> Option<String> {
        (self.version == Version::V2).then(|| RootControllers::of(&self.tracking).enabled())
    }

    /// The groups of all clusters that there are.
    pub fn list(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for hierarchy in &self.all {
            walk(&hierarchy.join(TOP), &mut |group| found.push(group.to_path_buf()));
        }
        found
    }
}

/// Lets the groups below this one of version 2 have every controller that it has itself.
fn enable_all(group: &Path) -> Result<()> {
    let available = fs::read_to_string(group.join("cgroup.controllers"))
        .with_context(|| format!("cannot read the controllers of {}", group.display()))?;
    let enable: Vec<_> = available
        .split_whitespace()
        .map(|controller| format!("+{controller}"))
        .collect();
    write(&group.join("cgroup.subtree_control"), &enable.join(" "))
}

fn make(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make the control group {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).with_context(|| format!("cannot write {value:?} to {}", path.display()))
}

fn remove_tree(group: &Path) -> std::io::Result<()> {
    let mut result = Ok(());
    walk(group, &mut |group| {
        if let Err(error) = fs::remove_dir(group)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            result = Err(error);
        }
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchies(text: &str) -> Result<Hierarchies> {
        Hierarchies::among(&mounts::parse(text))
    }

    #[test]
    fn one_hierarchy_a_controller_is_recognised_and_pids_tracks_the_processes() {
        let found = hierarchies(
            "30 1 0:20 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
             31 1 0:21 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
             32 1 0:22 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        )
        .unwrap();
        assert_eq!(found.version, Version::V1);
        assert_eq!(found.tracking, Path::new("/sys/fs/cgroup/pids"));
        assert_eq!(found.all.len(), 2);
    }

    #[test]
    fn the_unified_hierarchy_alone_is_version_two() {
        let found = hierarchies("30 1 0:20 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n").unwrap();
        assert_eq!(found.version, Version::V2);
        assert_eq!(found.tracking, Path::new("/sys/fs/cgroup"));
    }

    #[test]
    fn a_machine_without_control_groups_is_told_so() {
        assert!(
            hierarchies("30 1 0:20 / /proc rw - proc proc rw\n")
                .unwrap_err()
                .to_string()
                .contains("control groups")
        );
    }
}
