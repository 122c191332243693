//! Arguments and start.

use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory as _, Parser as _};
use clap_complete::Shell;
use kubectl_renv::cli::{Arguments, Command};
use kubectl_renv::failure::exit_code;
use kubectl_renv::{
    canvas, complete, create, database, lifetime, list, logs, plan, preview, psql, report, status, top,
};

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            exit_code(&error)
        }
    }
}

fn run(command: Command) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Create(arguments) => create::run(&arguments).await,
            Command::Status(arguments) => status::run(&arguments).await,
            Command::List(arguments) => list::list(&arguments).await,
            Command::Url(arguments) => list::url(&arguments).await,
            Command::Logs(arguments) => logs::run(&arguments).await,
            Command::Psql(arguments) => psql::run(&arguments).await,
            Command::Sleep(arguments) => lifetime::sleep(&arguments).await,
            Command::Wake(arguments) => lifetime::wake(&arguments).await,
            Command::Extend(arguments) => lifetime::extend(&arguments).await,
            Command::Switchover(arguments) => database::switchover(&arguments).await,
            Command::Restart(arguments) => database::restart(&arguments).await,
            Command::Rotate(arguments) => database::rotate(&arguments).await,
            Command::Plan(arguments) => plan::run(&arguments).await,
            Command::Preview(arguments) => preview::run(&arguments).await,
            Command::Report(arguments) => report::run(&arguments).await,
            Command::Top(arguments) => top::run(&arguments).await,
            Command::Completion { shell } => completion(shell.shell()),
            Command::Complete { words } => complete::run(&Arguments::command(), &words).await,
        }
    })
}

fn completion(shell: Option<Shell>) -> Result<()> {
    let Some(shell) = shell else {
        return canvas::write(complete::SCRIPT);
    };
    clap_complete::generate(
        shell,
        &mut Arguments::command(),
        "kubectl-renv",
        &mut io::stdout(),
    );
    Ok(())
}

/// Whoever reads the output has read enough.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
