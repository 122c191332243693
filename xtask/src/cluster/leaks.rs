//! What a cluster could leave behind on the host: compared before and after by the tests.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::Result;

use super::cgroup::Hierarchies;
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
        lines.extend(processes().map(|line| format!("process {line}")));
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
        lines.extend(printed(
            "link",
            Command::new("ip").args(["-brief", "link", "show"]),
        ));
        lines.extend(printed(
            "route",
            Command::new("ip").args(["route", "show", "table", "all"]),
        ));
        lines.extend(printed("rule", Command::new("ip").args(["rule", "show"])));
        lines.extend(printed(
            "network namespace",
            Command::new("lsns").args(["-t", "net", "-n", "-o", "NS"]),
        ));
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
        for name in ["dev", "test"] {
            let folder = state::State::of(name).folder;
            if folder.exists() {
                lines.insert(format!("folder {}", folder.display()));
            }
        }
        Ok(Self { lines })
    }

    /// What is there now and was not before, and the other way round; empty when nothing changed.
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

/// The processes that belong to a cluster by their programs or their arguments.
fn processes() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let groups = fs::read_to_string(entry.path().join("cgroup")).ok()?;
        let is_one = line.contains(&format!("{}/", state::ROOT))
            || line.contains("containerd-shim")
            || groups.contains(&format!("/{}/", super::cgroup::TOP));
        is_one.then(|| format!("{pid} {}", line.trim()))
    })
}

fn printed(kind: &'static str, command: &mut Command) -> impl Iterator<Item = String> {
    let text = command.output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines()
        .map(|line| format!("{kind} {}", line.trim()))
        .collect::<Vec<_>>()
        .into_iter()
}
