//! The local cluster: real Kubernetes components on this machine, without a container engine or a registry.
//!
//! `up` writes a cluster's files and starts its supervisor, which does everything else; `down` ends
//! whatever is in the cluster's control group and removes what it left. Neither relies on the other
//! having finished: both begin by looking at what is there. `up` goes on with what a crash or a reboot left.

mod binaries;
mod certificates;
mod cgroup;
mod check;
mod components;
mod configuration;
mod controllers;
mod down;
pub mod faults;
pub mod forward;
mod freezer;
mod group_tree;
mod leaks;
mod mounts;
mod network;
mod node;
mod plan;
mod process;
mod running;
mod secrets;
mod state;
pub mod supervisor;
mod up;

/// Debian's packages with the programs that a cluster runs.
pub const PACKAGES: &[&str] = &[
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "iproute2",
    "iptables",
    "runc",
    "util-linux",
];

pub use binaries::{KubeBinaries, Simulated, binaries, helm, simulated, vet};
pub use down::{crash, down, down_if_there, purge, supervisor_of};
pub use leaks::Snapshot;
pub use network::MAX_NODES;
pub use plan::{ClusterSpec, Forwarder, Leftovers};
pub use running::Running;
pub use state::{DEV, FORWARD_ONLY, MONITORING, TEST, use_alone};
pub use up::{forward_only, forwarder, lead_port, up};
