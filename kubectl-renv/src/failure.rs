//! The failures that have an exit code of their own. docs/kubectl-renv.md lists the codes.

use std::process::ExitCode;

/// What went wrong, where a program may want to tell it from other failures.
#[derive(Debug)]
pub enum Failure {
    /// There is no such environment, or none that the command could be about.
    Missing(String),
    /// What was waited for did not come in time, or cannot come any more.
    NotReached(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(message) | Self::NotReached(message) => formatter.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

/// The exit code of an error: 3 for what is missing, 4 for what was not reached, 1 for all others. clap has 2.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Failure>() {
        Some(Failure::Missing(_)) => ExitCode::from(3),
        Some(Failure::NotReached(_)) => ExitCode::from(4),
        None => ExitCode::FAILURE,
    }
}
