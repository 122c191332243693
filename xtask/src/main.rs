//! The project's commands. `cargo xtask up` and `cargo xtask test` do everything
//! on a fresh machine; the rest are their parts.

mod cluster;
mod command;
mod generate;
mod images;
mod terminal;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs and tests the rates environments operator.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the generated files (the CRD, the bundled seed), or check that they are current
    Generate(generate::Arguments),
    /// Build the images and print their references and archives
    Images(images::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Images(arguments) => images::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::error(&error);
            ExitCode::FAILURE
        }
    }
}
