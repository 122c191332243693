//! The commands and their settings: each by flag or by environment variable, each with what it is for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::database::DatabaseArguments;
use crate::environment;
use crate::log;
use crate::report::Termination;
use crate::serve;

/// Serves average shipping prices per day from PostgreSQL, and prepares the database that they are in.
#[derive(Parser)]
#[command(name = "rates-api", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// What is logged: a level, or levels by module as in `info,rates_api::access=warn`
    #[arg(
        long,
        env = "RATES_LOG",
        default_value = "info,tokio_postgres=warn",
        value_parser = log::filter,
        global = true,
        value_name = "FILTER"
    )]
    pub log: String,
}

#[derive(Subcommand)]
pub enum Command {
    /// Serve HTTP until SIGTERM, then drain
    Serve(Box<serve::Settings>),
    /// Bring the database's schema to this program's version
    Migrate(MigrateJob),
    /// Migrate an attempt's scratch database and give it the name of the served one
    Publish(PublishJob),
    /// Write the bundled seed to a file
    Dump(DumpJob),
}

#[derive(Args)]
pub struct MigrateJob {
    #[command(flatten)]
    pub database: DatabaseArguments,
    #[command(flatten)]
    pub owner: OwnerRole,
    #[command(flatten)]
    pub patience: Patience,
    #[command(flatten)]
    pub termination: Termination,
}

#[derive(Args)]
pub struct PublishJob {
    /// The unique id of the attempt (the pod's uid); its first 12 hexadecimal digits name the scratch database
    #[arg(long, value_name = "UID")]
    pub attempt: String,
    #[command(flatten)]
    pub database: DatabaseArguments,
    #[command(flatten)]
    pub owner: OwnerRole,
    #[command(flatten)]
    pub patience: Patience,
    #[command(flatten)]
    pub termination: Termination,
}

#[derive(Args)]
pub struct DumpJob {
    /// The file to write; it appears whole or not at all
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub termination: Termination,
}

#[derive(Args)]
pub struct OwnerRole {
    /// The role that owns the schema; what is made is made as this role
    #[arg(
        long,
        env = "RATES_OWNER_ROLE",
        default_value = "rates_owner",
        value_name = "ROLE"
    )]
    pub owner_role: String,
}

#[derive(Args)]
pub struct Patience {
    /// Seconds until the command gives up waiting for the database or for a lock in it
    #[arg(long, env = "RATES_DEADLINE_SECONDS", default_value = "600", value_parser = seconds, value_name = "SECONDS")]
    pub deadline_seconds: Duration,
}

/// A duration in seconds; fractions are accepted.
///
/// # Errors
/// A sentence that says what would be accepted.
pub fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected a number of seconds from 0 to 86400, such as 15 or 0.5".to_owned())
}

/// As [`seconds`], but not nothing: where 0 would end everything at once.
///
/// # Errors
/// A sentence that says what would be accepted.
pub fn some_seconds(text: &str) -> Result<Duration, String> {
    seconds(text)
        .ok()
        .filter(|duration| *duration >= Duration::from_millis(1))
        .ok_or_else(|| "expected a number of seconds above 0, up to 86400, such as 15 or 0.5".to_owned())
}

/// The arguments of this process; ends it with a message when they, or variables named like settings, are wrong.
#[must_use]
pub fn parse() -> Cli {
    let command = Cli::command();
    if let Err(error) = environment::check(&command, std::env::vars_os().map(|(name, _)| name)) {
        Cli::command()
            .error(clap::error::ErrorKind::UnknownArgument, error)
            .exit();
    }
    Cli::parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seconds_may_have_fractions_and_nothing_else_is_a_duration() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("15"), Ok(Duration::from_secs(15)));
        for text in ["", "-1", "NaN", "inf", "1e9", "15s"] {
            assert!(seconds(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn where_something_has_to_take_some_time_nothing_is_refused() {
        assert_eq!(some_seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "0.0001", "1e9", "x"] {
            assert!(some_seconds(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn every_setting_by_environment_variable_is_documented_and_has_our_prefix() {
        let command = Cli::command();
        let mut seen = 0;
        for argument in command
            .get_subcommands()
            .flat_map(clap::Command::get_arguments)
            .chain(command.get_arguments())
        {
            assert!(
                argument.get_help().is_some(),
                "{} has no description",
                argument.get_id()
            );
            if let Some(variable) = argument.get_env() {
                assert!(variable.to_string_lossy().starts_with("RATES_"), "{variable:?}");
                seen += 1;
            }
        }
        assert!(seen > 5);
    }

    #[test]
    fn exactly_one_way_to_name_the_database_is_accepted() {
        let parse = |arguments: &[&str]| Cli::try_parse_from([&["rates-api", "migrate"], arguments].concat());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--database-uri", "postgres://h/d"]).is_ok());
        assert!(parse(&["--database-uri-file", "/f"]).is_ok());
        assert!(parse(&["--database-uri-file", "/f", "--database-uri", "postgres://h/d"]).is_err());
    }
}
