//! `cargo xtask bench rollout`: rollouts one after the other under load, and what was lost, on a cluster of its own with
//! two nodes whose proxies are as slow as those of a large one. What is played is in `tools/load`, in which
//! order in `bin/rollouts.rs`; how it is measured, and a run, in docs/benchmarks-rollout.md.

mod goals;

use std::process::Command;

use anyhow::Result;

use super::on_cluster::{self, Limits};
use super::only;
use crate::figures;
use host::workspace;
use local_cluster::Running;

pub use goals::goals;

const NODES: u8 = 2;
/// Well below the propagation time of the environment, which has to cover it.
const PROXY_SECONDS: u8 = 5;

#[derive(clap::Args)]
pub struct Arguments {
    /// A few rollouts: shows that the benchmark works
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<Part>,
    /// Leave the cluster running
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    Rollouts,
    Databases,
    Broken,
    Unprotected,
}

/// Measures, prints, and writes the figures to a file. A goal that is missed is no failure.
pub fn run(arguments: &Arguments) -> Result<()> {
    let limits = Limits {
        proxy_seconds: Some(PROXY_SECONDS),
        volume_mib: None,
    };
    on_cluster::measure(NODES, limits, arguments.keep, |running| play(running, arguments))
}

fn play(running: &Running, arguments: &Arguments) -> Result<()> {
    let (stand_ins, built) = images::stand_ins()?;
    install::import(running, &built)?;
    let name = figures::of("rollout", !arguments.quick && arguments.only.is_empty());
    let mut campaign = Command::new(workspace::binaries().join("rollouts"));
    campaign
        .arg("--figures")
        .arg(&name)
        .args(arguments.quick.then_some("--quick"))
        .args(only::argument(&only::names(&arguments.only)))
        .env("RATES_E2E_IMAGES", stand_ins);
    on_cluster::run(running, &mut campaign, &name)
}
