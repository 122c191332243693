//! `cargo xtask bench instances`: what a database of one, two and three instances takes and gives, side by side on a local
//! cluster of its own: the time until it is there, its memory, batches and reads. docs/benchmarks-failover.md has a run.

mod measure;
mod report;

use std::process::Command;

use anyhow::Result;

use super::on_cluster::{self, Limits};
use crate::figures;
use host::workspace;

pub use measure::measure;
pub use report::Report;

const NODES: u8 = 3;
const FIGURES: &str = "instances.json";

#[derive(clap::Args)]
pub struct Arguments {
    /// How often each figure is taken, of one environment after the other
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Leave the cluster running
    #[arg(long)]
    keep: bool,
}

/// Measures, prints, and writes the figures to a file.
pub fn run(arguments: &Arguments) -> Result<()> {
    on_cluster::measure(NODES, Limits::default(), arguments.keep, |running| {
        let mut program = Command::new(workspace::binaries().join("instances"));
        program.arg(format!("--rounds={}", arguments.rounds));
        on_cluster::run(running, &mut program, FIGURES)
    })
}

/// Prints them, and writes them to the file.
pub fn publish(report: &Report) -> Result<()> {
    println!("{report}");
    figures::write(FIGURES, report).map(drop)
}
