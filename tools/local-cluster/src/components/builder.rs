//! What every step is made from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::binaries::KubeBinaries;
use crate::network::Network;
use crate::plan::{ClusterSpec, Program};
use crate::state::State;

pub struct Builder<'a> {
    pub spec: &'a ClusterSpec,
    pub network: &'a Network,
    pub state: &'a State,
    pub binaries: &'a KubeBinaries,
}

impl Builder<'_> {
    pub fn apply(&self, file: &Path) -> Program {
        self.kubectl(["apply", &format!("--filename={}", file.display())])
    }

    pub fn kubectl<'s>(&self, arguments: impl IntoIterator<Item = &'s str>) -> Program {
        let common = [
            flag("kubeconfig", self.state.kubeconfig().display()),
            flag("cache-dir", self.state.path("kubectl-cache").display()),
        ];
        Program::new(
            &self.binaries.kubectl,
            common.into_iter().chain(arguments.into_iter().map(str::to_owned)),
        )
    }

    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.state.path("pki").join(format!("{user}.kubeconfig"))
    }
}

pub fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

/// The name of one node's own process.
pub fn agent(name: &str, node: u8) -> String {
    format!("{name}-{node}")
}

pub fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
