//! `cargo xtask bench api`: what the API does, in ratios to what PostgreSQL 13.5 itself does with the same data on the
//! same machine in the same run. docs/benchmarks.md says what is measured and why.
//!
//! One file a question (`reads`, `batches`, `mixed`, `regions`), one for each thing that they are asked with.

mod bare;
mod batches;
mod copy;
mod data;
mod databases;
mod format;
mod goals;
mod http;
mod latency;
mod load;
mod machine;
mod mixed;
mod pgbench;
mod plan;
mod post;
mod postgres;
mod processor;
mod reads;
mod regions;
mod report;
mod service;
mod table;

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use self::databases::Databases;
use self::machine::Machine;
use self::plan::{Part, Plan};
use self::report::Report;
use host::preflight;
use host::terminal::note;

#[derive(clap::Args)]
pub struct Arguments {
    /// Measure only these parts
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<Part>,
    /// Small sizes, each once: shows that the benchmark works, and not how fast anything is
    #[arg(long)]
    quick: bool,
}

/// Measures, prints a table, and writes the figures to a file. A goal that is missed is no failure.
pub fn run(arguments: &Arguments) -> Result<()> {
    preflight::root()?;
    install::packages()?;
    let machine = Machine::prepare()?;
    let plan = if arguments.quick {
        Plan::quick()
    } else {
        Plan::full()
    };
    let report = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            tokio::select! {
                report = measure(&machine, &plan, &arguments.only) => report,
                interrupted = interrupted() => interrupted,
            }
        })?;
    table::print(&report);
    note(format_args!("the figures are in {}", report.write()?.display()));
    Ok(())
}

async fn measure<'a>(machine: &Machine, plan: &'a Plan, only: &[Part]) -> Result<Report<'a>> {
    let wanted = |part| only.is_empty() || only.contains(&part);
    let databases = Databases::start(machine).await?;
    let mut report = Report::new(plan);
    if wanted(Part::Reads) {
        report.reads = Some(reads::measure(machine, &databases, plan).await?);
    }
    if wanted(Part::Batches) {
        report.batches = Some(batches::measure(machine, &databases, plan).await?);
    }
    if wanted(Part::Mixed) {
        report.mixed = Some(mixed::measure(machine, &databases, plan).await?);
    }
    if wanted(Part::Regions) {
        report.regions = Some(regions::measure(&databases, plan).await?);
    }
    report.judge();
    Ok(report)
}

/// Ends when somebody asks for the end: what was started is then stopped as at a regular end.
async fn interrupted<T>() -> Result<T> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    bail!("interrupted")
}
