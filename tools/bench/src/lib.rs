//! `cargo xtask bench`: what is measured, and printed with its goals. A folder a benchmark.

mod api;
pub mod failover;
pub mod figures;
pub mod goal;
pub mod instances;
pub mod monitoring;
mod on_cluster;
mod only;
mod operator;
mod previews;
pub mod rollout;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Measure reads and batches against PostgreSQL itself; takes ten to twelve minutes of an otherwise idle machine
    Api(api::Arguments),
    /// Measure how soon a Preview is Ready on a local cluster, what it takes, and how many are Ready at once; some twelve minutes
    Previews(previews::Arguments),
    /// Roll an environment out again and again under load, and count what is lost; some thirty minutes
    Rollout(rollout::Arguments),
    /// Harm a database of three instances under load in every way, and count what is lost; takes hours with all its faults
    Failover(failover::Arguments),
    /// Measure databases of one, two and three instances side by side; some six minutes
    Instances(instances::Arguments),
    /// Saturate the rungs of the ladder one by one, and see after how many seconds each is named and what the remedy does; some forty minutes. With --faults, see which alerts each fault fires
    Monitoring(monitoring::Arguments),
    /// Measure the operator with 1,000 environments on a real API server, against kubectl with the same objects; takes some fifteen minutes of an otherwise idle machine
    Operator(operator::Arguments),
}

/// Measures, prints, and writes the figures to a file. A goal that is missed is no failure.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Api(arguments) => api::run(arguments),
        Command::Previews(arguments) => previews::run(arguments),
        Command::Failover(arguments) => failover::run(arguments),
        Command::Instances(arguments) => instances::run(arguments),
        Command::Monitoring(arguments) => monitoring::run(arguments),
        Command::Operator(arguments) => operator::run(arguments),
        Command::Rollout(arguments) => rollout::run(arguments),
    }
}
