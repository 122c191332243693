//! `cargo xtask bench monitoring`: every rung of the ladder saturated on purpose, on a local cluster of its own: after how
//! many seconds the ladder names that rung first, and what the written remedy does to it. And what monitoring costs.

mod cases;
mod costs;
mod load;
mod measure;
mod report;

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::on_cluster::{self, Limits};
use crate::figures;
use host::workspace;

pub use measure::measure;
pub use report::Report;

/// A standby needs another node than its primary.
const NODES: u8 = 2;
/// A node's volumes are on a file system of this size, which one of the cases fills.
const VOLUME_MIB: u32 = 1024;
const FIGURES: &str = "monitoring.json";

#[derive(clap::Args)]
pub struct Arguments {
    /// Only these rungs, such as locks
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leave the cluster running
    #[arg(long)]
    keep: bool,
}

/// Measures, prints, and writes the figures to a file.
pub fn run(arguments: &Arguments) -> Result<()> {
    let limits = Limits {
        volume_mib: Some(VOLUME_MIB),
        ..Limits::default()
    };
    on_cluster::measure(NODES, limits, arguments.keep, |running| {
        let objects = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
        fs::write(&objects, install::monitoring::objects_for(running)?.to_string())
            .context("cannot write the objects of the monitoring")?;
        let mut program = Command::new(workspace::binaries().join("ladder"));
        program
            .arg(format!("--only={}", arguments.only.join(",")))
            .env("RATES_E2E_MONITORING", objects.path());
        on_cluster::run(running, &mut program, FIGURES)
    })
}

/// Prints them, and writes them to the file.
pub fn publish(report: &Report) -> Result<()> {
    println!("{report}");
    figures::write(FIGURES, report).map(drop)
}
