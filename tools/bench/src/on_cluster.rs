//! A local cluster for one benchmark, with the operator on it, which is taken down again.

use std::process::Command;

use anyhow::Result;

use crate::figures;
use host::command;
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
    let _in_use = local_cluster::use_alone(TEST)?;
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

/// Runs a program that measures on the cluster, and says where it wrote its figures.
pub fn run(running: &Running, program: &mut Command, figures: &str) -> Result<()> {
    running.lead(program, &[])?;
    command::run(program)?;
    note(format_args!(
        "the figures are in {}",
        figures::path(figures).display()
    ));
    Ok(())
}
