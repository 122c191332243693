//! Rungs of the ladder saturated on purpose, for `cargo xtask bench monitoring`, which provides the cluster.

use anyhow::Result;
use bench::monitoring;
use clap::Parser;

/// Saturates one rung after the other.
#[derive(Parser)]
struct Arguments {
    /// Only these rungs; all where none is named
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

fn main() -> Result<()> {
    let only: Vec<String> = Arguments::parse()
        .only
        .into_iter()
        .filter(|rung| !rung.is_empty())
        .collect();
    monitoring::publish(&monitoring::measure(&only)?)
}
