//! What a cluster could leave behind on the host: compared before and after by the tests.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::Result;

use super::cgroup::Hierarchies;
use super::network::link_prefix;
use super::{mounts, state};

/// Settings of the machine that container programs are known to change.
const SETTINGS: [&str; 12] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/default/forwarding",
    "net/netfilter/nf_conntrack_max",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Folders of the host in which container programs leave files.
const FOLDERS: [&str; 9] = [
    "/run/netns",
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
    "/run/xtables.lock",
    "/etc/cni/net.d",
];

/// The host's state, one line a thing. What happens beside the clusters is part of it too, so two
/// snapshots are equal only on a machine that is otherwise at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    lines: BTreeSet<String>,
}

impl Snapshot {
    /// Looks at the machine.
    pub fn take() -> Result<Self> {
        let mut lines = BTreeSet::new();
        lines.extend(processes());
        lines.extend(
            mounts::list()?
                .iter()
                .map(|mount| format!("mount {} on {}", mount.kind, mount.target.display())),
        );
        lines.extend(
            Hierarchies::find()?
                .list()
                .iter()
                .map(|group| format!("control group {}", group.display())),
        );
        lines.extend(
            Hierarchies::find()?
                .controllers()
                .map(|on| format!("controllers {on}")),
        );
        lines.extend(printed(
            "link",
            Command::new("ip").args(["-brief", "link", "show"]),
        ));
        lines.extend(printed(
            "route",
            Command::new("ip").args(["route", "show", "table", "all"]),
        ));
        lines.extend(printed("rule", Command::new("ip").args(["rule", "show"])));
        for program in ["iptables-save", "ip6tables-save"] {
            lines
                .extend(printed("firewall", &mut Command::new(program)).filter(|line| !line.contains(" # ")));
        }
        for setting in SETTINGS {
            let value = fs::read_to_string(format!("/proc/sys/{setting}")).unwrap_or_default();
            lines.insert(format!("setting {setting} = {}", value.trim()));
        }
        for folder in FOLDERS {
            if let Ok(entries) = fs::read_dir(folder) {
                lines.insert(format!("folder {folder}"));
                lines.extend(
                    entries
                        .flatten()
                        .map(|entry| format!("file {}", entry.path().display())),
                );
            } else if fs::exists(folder).unwrap_or(false) {
                lines.insert(format!("file {folder}"));
            }
        }
        for name in state::CLUSTERS {
            let folder = state::State::of(name).folder;
            if folder.exists() {
                lines.insert(format!("folder {}", folder.display()));
            }
        }
        Ok(Self { lines })
    }

    /// The same without what belongs to a cluster, for one that goes on running beside the comparison.
    #[must_use]
    pub fn without(self, cluster: &str) -> Self {
        let marks = [format!("/{}/{cluster}", super::cgroup::TOP), link_prefix(cluster)];
        let lines = self
            .lines
            .into_iter()
            .filter(|line| !marks.iter().any(|mark| line.contains(mark.as_str())));
        Self {
            lines: lines.collect(),
        }
    }

    /// Reads a snapshot that was printed.
    pub fn parse(text: &str) -> Self {
        Self {
            lines: text.lines().map(str::to_owned).collect(),
        }
    }

    /// What is there now and was not before, and the other way round; empty when nothing changed.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let came = self
            .lines
            .difference(&before.lines)
            .map(|line| format!("+ {line}"));
        let went = before
            .lines
            .difference(&self.lines)
            .map(|line| format!("- {line}"));
        came.chain(went).collect()
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// The processes that belong to a cluster by their group, program or arguments, and the network
/// namespaces that any process is in.
fn processes() -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).replace(['\0', '\n'], " ");
        let groups = String::from_utf8_lossy(&read("cgroup")).into_owned();
        let group = groups
            .lines()
            .find(|line| line.contains(&format!("/{}/", super::cgroup::TOP)));
        let group = group.map_or("elsewhere", |line| line.rsplit(':').next().unwrap_or_default());
        let is_one = group != "elsewhere"
            || command.contains(&format!("{}/", state::ROOT))
            || command.contains("containerd-shim");
        if is_one {
            lines.insert(format!("process {pid} in {group}: {}", command.trim()));
        }
        if let Ok(namespace) = fs::read_link(entry.path().join("ns/net")) {
            let cluster: Vec<_> = group.split('/').take(3).collect();
            lines.insert(format!(
                "network namespace {} of {}",
                namespace.display(),
                cluster.join("/")
            ));
        }
    }
    lines
}

fn printed(kind: &'static str, command: &mut Command) -> impl Iterator<Item = String> {
    let text = command.output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines()
        .map(|line| format!("{kind} {}", line.trim()))
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_and_what_went_is_told_apart() {
        let before = Snapshot::parse("link lo\nroute a\n");
        let after = Snapshot::parse("link lo\nlink rates-test-1\n");
        assert_eq!(after.changes_since(&before), ["+ link rates-test-1", "- route a"]);
        assert!(before.changes_since(&before).is_empty());
    }

    #[test]
    fn another_clusters_things_can_be_left_out() {
        let text = "link rates-dev-1\nlink rates-test-1\ncontrol group /x/rates-local-cluster/dev/system\n";
        assert_eq!(
            Snapshot::parse(text).without("dev"),
            Snapshot::parse("link rates-test-1\n")
        );
    }

    #[test]
    fn a_printed_snapshot_is_read_back_as_it_was() {
        // Processes come and go meanwhile, so it is one snapshot that is compared with itself.
        let taken = Snapshot::take().unwrap();
        assert_eq!(Snapshot::parse(&taken.to_string()), taken);
    }
}
