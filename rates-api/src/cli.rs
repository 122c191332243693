//! The commands and their settings: each by flag or by environment variable, each with what it is for.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::environment;
use crate::log;
use crate::migrate::MigrateJob;
use crate::seed::dump::DumpJob;
use crate::seed::publish::PublishJob;
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
    Serve(Box<serve::ServeSettings>),
    /// Bring the database's schema to this program's version
    Migrate(MigrateJob),
    /// Migrate an attempt's scratch database and give it the name of the served one
    Publish(PublishJob),
    /// Write the bundled seed to a file
    Dump(DumpJob),
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
