//! The project's commands. `cargo xtask up` and `cargo xtask test` do everything
//! on a fresh machine; the rest are their parts.

mod cluster_command;
mod down;
mod generate;
mod test;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use host::terminal;

/// Builds, runs and tests the rates environments operator.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the generated files (the CRD, the dashboards, the charts' copies), or check that they are current
    Generate(generate::Arguments),
    /// Build the images and print their references and archives
    Images(images::Arguments),
    /// Start everything: a local cluster, the operator, and an environment that answers on a port of this machine
    Up(up::Arguments),
    /// Run every test: checks of the sources, the tests of each part, the whole on a cluster of its own
    Test(test::Arguments),
    /// Measure, and hold the figures against what is wanted
    #[command(subcommand)]
    Bench(bench::Command),
    /// End a local cluster and remove all of it
    Down(down::Arguments),
    /// Start, end and look at local clusters alone
    #[command(subcommand)]
    Cluster(cluster_command::Command),
    /// The process that keeps a cluster running
    #[command(hide = true)]
    Supervise(local_cluster::supervisor::Arguments),
    /// The process that leads a port of this machine to a Service
    #[command(hide = true)]
    Forward(local_cluster::forward::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Images(arguments) => images::run(&arguments),
        Command::Up(arguments) => up::run(&arguments),
        Command::Test(arguments) => return finish(test::run(&arguments)),
        Command::Bench(command) => bench::run(&command),
        Command::Down(arguments) => down::run(&arguments),
        Command::Cluster(command) => cluster_command::run(&command),
        Command::Supervise(arguments) => local_cluster::supervisor::run(&arguments),
        Command::Forward(arguments) => local_cluster::forward::run(arguments),
    };
    finish(result.map(|()| ExitCode::SUCCESS))
}

fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => {
            terminal::error(&error);
            ExitCode::FAILURE
        }
    }
}
