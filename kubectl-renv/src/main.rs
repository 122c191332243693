//! Arguments and start.

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use kubectl_renv::cli::{Arguments, Command};
use kubectl_renv::top;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Completion { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "kubectl-renv",
                &mut io::stdout(),
            );
            Ok(())
        }
        Command::Top(arguments) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(anyhow::Error::new)
            .and_then(|runtime| runtime.block_on(top::run(&arguments))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever reads the output has read enough.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
