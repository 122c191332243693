//! Databases of one, two and three instances side by side, for `cargo xtask bench instances`, which provides the cluster.

use anyhow::Result;
use bench::instances;
use clap::Parser;

/// Makes an environment of each size, and asks one after the other.
#[derive(Parser)]
struct Arguments {
    /// How often each figure is taken
    #[arg(long)]
    rounds: usize,
}

fn main() -> Result<()> {
    instances::publish(&instances::measure(Arguments::parse().rounds)?)
}
