//! A local cluster for one benchmark, with the operator on it, which is taken down again.

use anyhow::Result;

use crate::cluster::{self, ClusterSpec, KubeBinaries, Running};
use crate::terminal::note;
use crate::{packages, preflight, up};

/// The tests use it too: both at once would measure each other.
const CLUSTER: &str = "test";

/// Measures on a new cluster of so many nodes, whose kube-proxies wait so long between two changes; with `keep` it is
/// left running.
pub fn measure<T>(
    nodes: u8,
    proxy_seconds: Option<u8>,
    keep: bool,
    measure: impl FnOnce(&Running, &KubeBinaries) -> Result<T>,
) -> Result<T> {
    preflight::machine()?;
    packages::install()?;
    cluster::down_if_there(CLUSTER)?;
    let spec = ClusterSpec {
        name: CLUSTER.to_owned(),
        nodes,
        pause_image: up::pause_image()?,
        forwarder: None,
        proxy_seconds,
    };
    let (running, binaries) = up::with_operator(&spec)?;
    let measured = measure(&running, &binaries);
    if keep {
        note(format_args!(
            "cluster {CLUSTER}: KUBECONFIG={}",
            running.kubeconfig.display()
        ));
    } else {
        cluster::down(CLUSTER)?;
    }
    measured
}
