//! A local cluster for one benchmark, with the operator on it, which is taken down again.

use anyhow::Result;

use host::terminal::note;
use local_cluster::{ClusterSpec, KubeBinaries, Leftovers, Running};

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
    install::prepare()?;
    local_cluster::down_if_there(CLUSTER)?;
    let spec = ClusterSpec {
        name: CLUSTER.to_owned(),
        nodes,
        pause_image: install::pause_image()?,
        forwarder: None,
        leftovers: Leftovers::Remove,
        proxy_seconds,
    };
    let (running, binaries) = install::with_operator(&spec)?;
    let measured = measure(&running, &binaries);
    if keep {
        note(format_args!(
            "cluster {CLUSTER}: KUBECONFIG={}",
            running.kubeconfig.display()
        ));
    } else {
        local_cluster::down(CLUSTER)?;
    }
    measured
}
