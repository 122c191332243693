//! `cargo xtask bench monitoring`: every rung of the ladder saturated on purpose, on a local cluster of its own: after how
//! many seconds the ladder names that rung first, and what the written remedy does to it. And what monitoring costs. With
//! `--faults`, which alerts each fault fires, and with `--quiet` that none fires where nothing is wrong.

mod alert_report;
mod alerts;
mod cases;
mod costs;
mod faults;
mod load;
mod measure;
mod report;

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::failover;
use super::on_cluster::{self, Limits};
use crate::{figures, only};
use host::workspace;
use local_cluster::Running;

pub use alerts::{chosen as chosen_faults, measure as measure_alerts};
pub use cases::chosen as chosen_cases;
pub use measure::measure;
pub use report::Report;

/// A standby needs another node than its primary.
const NODES: u8 = 2;
/// A node's volumes are on a file system of this size, which one of the cases fills.
const VOLUME_MIB: u32 = 1024;

#[derive(clap::Args)]
pub struct Arguments {
    /// Play faults in place of the rungs, and compare the alerts that Alertmanager has with those that each has to fire;
    /// some 100 minutes
    #[arg(long)]
    faults: bool,
    /// So long nothing is wrong, and no alert may fire; before the faults, if both are asked for
    #[arg(long, value_name = "MINUTES")]
    quiet: Option<u64>,
    /// Only these rungs, such as locks, or faults, such as node-lost
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leave the cluster running
    #[arg(long)]
    keep: bool,
}

/// Measures, prints, and writes the figures to a file. A goal that is missed is no failure.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.faults || arguments.quiet.is_some() {
        return alerts_on_cluster(arguments);
    }
    chosen_cases(&arguments.only)?;
    let limits = Limits {
        volume_mib: Some(VOLUME_MIB),
        ..Limits::default()
    };
    let figures = figures::of("monitoring", arguments.only.is_empty());
    on_cluster::measure(NODES, limits, arguments.keep, |running| {
        let mut program = Command::new(workspace::binaries().join("ladder"));
        program
            .arg(format!("--figures={figures}"))
            .args(only::argument(&arguments.only));
        with_objects(running, &mut program, &figures)
    })
}

/// On a cluster as that of the failover campaign, whose faults are played.
fn alerts_on_cluster(arguments: &Arguments) -> Result<()> {
    ensure!(
        arguments.faults || arguments.only.is_empty(),
        "--only names faults, which --faults plays"
    );
    chosen_faults(&arguments.only)?;
    let limits = Limits {
        volume_mib: Some(failover::VOLUME_MIB),
        ..Limits::default()
    };
    let figures = figures::of("alerts", arguments.faults && arguments.only.is_empty());
    on_cluster::measure(failover::NODES, limits, arguments.keep, |running| {
        let (stand_ins, built) = images::stand_ins()?;
        install::import(running, &built)?;
        let mut program = Command::new(workspace::binaries().join("alerts"));
        program
            .arg(format!("--figures={figures}"))
            .args(arguments.faults.then_some("--faults"))
            .args(arguments.quiet.map(|minutes| format!("--quiet={minutes}")))
            .args(only::argument(&arguments.only))
            .env("RATES_E2E_IMAGES", stand_ins);
        with_objects(running, &mut program, &figures)
    })
}

/// Runs a program that installs Prometheus and Alertmanager.
fn with_objects(running: &Running, program: &mut Command, figures: &str) -> Result<()> {
    let objects = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    fs::write(&objects, install::monitoring::objects_for(running)?.to_string())
        .context("cannot write the objects of the monitoring")?;
    program.env("RATES_E2E_MONITORING", objects.path());
    on_cluster::run(running, program, figures)
}
