//! Rungs of the ladder saturated on purpose, for `cargo xtask bench monitoring`, which provides the cluster.

use anyhow::Result;
use bench::monitoring;
use clap::Parser;

/// Saturates one rung after the other.
#[derive(Parser)]
struct Arguments {
    /// The name of the file for all figures
    #[arg(long)]
    figures: String,
    /// Only these rungs; all where none is named
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let cases = monitoring::chosen_cases(&arguments.only)?;
    let report = monitoring::measure(&cases)?;
    println!("{report}");
    bench::figures::write(&arguments.figures, &report).map(drop)
}
