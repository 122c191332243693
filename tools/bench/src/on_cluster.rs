//! A local cluster for one benchmark, with the operator on it, which is taken down again.

use anyhow::Result;

use host::terminal::note;
use local_cluster::{ClusterSpec, Leftovers, Running, TEST};

/// What a cluster does not have that a small one has.
#[derive(Clone, Copy, Default)]
pub struct Limits {
    /// So long its kube-proxies wait between two changes.
    pub proxy_seconds: Option<u8>,
    /// The volumes of a node have so much room together.
    pub volume_mib: Option<u32>,
}

/// Measures on a new cluster of so many nodes; with `keep` it is left running.
pub fn measure<T>(
    nodes: u8,
    Limits {
        proxy_seconds,
        volume_mib,
    }: Limits,
    keep: bool,
    measure: impl FnOnce(&Running) -> Result<T>,
) -> Result<T> {
    install::prepare()?;
    local_cluster::down_if_there(TEST)?;
    let spec = ClusterSpec {
        name: TEST.to_owned(),
        nodes,
        pause_image: install::pause_image()?,
        forwarder: None,
        leftovers: Leftovers::Remove,
        proxy_seconds,
        volume_mib,
    };
    let (running, _) = install::with_operator(&spec)?;
    let measured = measure(&running);
    if keep {
        note(format_args!(
            "cluster {TEST}: KUBECONFIG={}",
            running.kubeconfig.display()
        ));
    } else {
        local_cluster::down(TEST)?;
    }
    measured
}
