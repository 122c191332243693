//! Faults and the alerts that they fire, for `cargo xtask bench monitoring --faults` and `--quiet`, which provide the cluster:
//! four nodes, of which the first has the control plane.

use anyhow::Result;
use bench::monitoring;
use clap::Parser;

/// Watches Alertmanager while nothing is wrong, and while one fault after the other is played.
#[derive(Parser)]
struct Arguments {
    /// The name of the file for all figures
    #[arg(long)]
    figures: String,
    /// Minutes without a fault
    #[arg(long)]
    quiet: Option<u64>,
    /// Play faults
    #[arg(long)]
    faults: bool,
    /// Only these faults; all where none is named
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let faults = if arguments.faults {
        monitoring::chosen_faults(&arguments.only)?
    } else {
        Vec::new()
    };
    let report = monitoring::measure_alerts(arguments.quiet, &faults)?;
    print!("{report}");
    bench::figures::write(&arguments.figures, &report).map(drop)
}
