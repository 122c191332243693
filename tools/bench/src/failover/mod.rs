//! `cargo xtask bench failover`: faults of a database of three instances under load, and what was lost, on a cluster of
//! its own. The first of its four nodes has the control plane, the operator and the API, the others an instance each.
//! Faults are in `tools/load` and here; how it is measured, and a run, in docs/benchmarks-failover.md.

mod data;
mod goals;
mod nodes;
mod placing;
mod protection;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use load::failover::{Fault, Simple};

use super::on_cluster::{self, Limits};
use super::only;
use crate::figures;
use host::workspace;
use local_cluster::Running;

pub use goals::goals;
pub(crate) use nodes::{nodes, processes};
pub use placing::Placing;
pub use protection::Protection;

pub(crate) const NODES: u8 = 4;
/// Little enough that one of the faults fills it.
pub(crate) const VOLUME_MIB: u32 = 2048;

#[derive(clap::Args)]
pub struct Arguments {
    /// Only these faults, by name
    #[arg(long, value_delimiter = ',', value_name = "FAULT")]
    only: Vec<String>,
    /// How often each fault is played
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Take these protections away instead, one after the other, each with the faults that it is for
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PROTECTION")]
    without: Vec<Protection>,
    /// Instances of the database
    #[arg(long, default_value_t = 3)]
    instances: u8,
    /// Reads a second
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Play with the API of this archive, rates-api-HASH.tar, such as one from before a check of it
    #[arg(long, value_name = "ARCHIVE")]
    api: Option<PathBuf>,
    /// Leave the cluster running
    #[arg(long)]
    keep: bool,
}

/// Every fault, in the order in which they are played.
#[must_use]
pub fn all() -> Vec<Box<dyn Fault>> {
    let simple = [
        Simple::PostmasterKilled,
        Simple::ContainerCrash,
        Simple::PodDeleted,
        Simple::Switchover,
        Simple::Evicted,
        Simple::Drained,
        Simple::PodDeletedByForce,
        Simple::Rolled,
        Simple::OperatorAway,
    ];
    let mut faults: Vec<Box<dyn Fault>> = Vec::new();
    faults.extend(simple.map(|fault| Box::new(fault) as Box<dyn Fault>));
    faults.extend(nodes::Node::ALL.map(|fault| Box::new(fault) as Box<dyn Fault>));
    faults.extend(data::Data::ALL.map(|fault| Box::new(fault) as Box<dyn Fault>));
    faults
}

/// Those with these names, or all.
pub fn chosen(names: &[String]) -> Result<Vec<Box<dyn Fault>>> {
    only::chosen("fault", all(), |fault| fault.name(), names)
}

/// Measures, prints, and writes the figures to a file. A goal that is missed is no failure.
pub fn run(arguments: &Arguments) -> Result<()> {
    chosen(&arguments.only)?;
    let limits = Limits {
        proxy_seconds: None,
        volume_mib: Some(VOLUME_MIB),
    };
    on_cluster::measure(NODES, limits, arguments.keep, |running| play(running, arguments))
}

/// Brings an image of the API to all nodes; gives its reference, which is that of the archive.
fn import_api(running: &Running, archive: &Path) -> Result<String> {
    let hash = archive
        .file_stem()
        .and_then(|name| name.to_str()?.strip_prefix("rates-api-"))
        .with_context(|| format!("{} is not an archive rates-api-HASH.tar", archive.display()))?;
    let reference = format!("localhost/rates-api:{hash}");
    running.import_images(&[(&reference, archive)])?;
    Ok(reference)
}

fn play(running: &Running, arguments: &Arguments) -> Result<()> {
    let whole = arguments.only.is_empty() && arguments.without.is_empty() && arguments.api.is_none();
    let name = figures::of("failover", whole);
    let api = arguments
        .api
        .as_deref()
        .map(|archive| import_api(running, archive));
    let mut campaign = Command::new(workspace::binaries().join("failovers"));
    campaign
        .arg(format!("--figures={name}"))
        .arg(format!("--rounds={}", arguments.rounds))
        .arg(format!("--instances={}", arguments.instances))
        .arg(format!("--rate={}", arguments.rate))
        .args(only::argument(&arguments.only));
    if !arguments.without.is_empty() {
        campaign.arg(format!("--without={}", only::names(&arguments.without).join(",")));
    }
    if let Some(image) = api.transpose()? {
        campaign.arg(format!("--api={image}"));
    }
    on_cluster::run(running, &mut campaign, &name)
}
