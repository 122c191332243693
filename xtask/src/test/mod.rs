//! `cargo xtask test`: every test, and what each needs.
//!
//! In three layers: checks of the sources; the tests of each part, with its one real
//! dependency; the whole on a cluster of its own, which is taken down again.

mod checks;
mod lifecycle;
mod parts;
mod tally;
mod whole;

use std::process::ExitCode;

use anyhow::{Result, bail};

use self::tally::Tally;
use crate::terminal::note;
use crate::{packages, preflight};

#[derive(clap::Args)]
pub struct Arguments {
    /// Run only one layer
    #[arg(long, value_enum)]
    layer: Option<Layer>,
    /// Leave the cluster `test` running, to look at it or to run the whole's tests again
    #[arg(long)]
    keep: bool,
    /// Run only the tests whose names contain this
    filter: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Layer {
    /// Format, lints, generated files, dependencies
    Checks,
    /// The tests of each part, with PostgreSQL, or etcd and kube-apiserver
    Parts,
    /// The whole on a cluster
    Whole,
}

/// Runs the tests; the last line printed is their count. Fails when one failed, or when there was none.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let chosen = |layer| arguments.layer.is_none_or(|only| only == layer);
    preflight::machine()?;
    packages::install()?;
    let mut tally = Tally::default();
    if chosen(Layer::Checks) {
        checks::run_all(&mut tally);
    }
    if chosen(Layer::Parts) {
        parts::run(&mut tally, arguments.filter.as_deref())?;
    }
    if chosen(Layer::Whole) {
        whole::run(&mut tally, arguments.filter.as_deref(), arguments.keep)?;
    }
    if tally.passed + tally.failed == 0 {
        bail!("no test has such a name");
    }
    if tally.failed > 0 {
        note("some tests failed: look for FAILED above");
    }
    println!("{tally}");
    Ok(if tally.failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
