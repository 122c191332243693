//! Environment variables that are named like settings and are none: a typing error, never to be ignored.

use std::collections::BTreeSet;
use std::ffi::OsString;

const PREFIX: &str = "RATES_";

/// Fails on the first variables of our prefix that no command knows, with the accepted ones.
///
/// # Errors
/// A sentence that names the unknown variables and all known ones.
pub fn check(command: &clap::Command, names: impl Iterator<Item = OsString>) -> Result<(), String> {
    let known = known(command);
    let unknown: BTreeSet<String> = names
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(PREFIX) && !known.contains(name))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let list = |names: BTreeSet<String>| names.into_iter().collect::<Vec<_>>().join(", ");
    Err(format!(
        "unknown environment variable {}; the settings are {}",
        list(unknown),
        list(known)
    ))
}

/// The variables of all commands: one environment may be shared by the containers of a pod.
fn known(command: &clap::Command) -> BTreeSet<String> {
    command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments)
        .chain(command.get_arguments())
        .filter_map(|argument| argument.get_env())
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    fn check_names(names: &[&str]) -> Result<(), String> {
        let serve = Command::new("serve").arg(Arg::new("listen").long("listen").env("RATES_LISTEN"));
        let migrate = Command::new("migrate").arg(Arg::new("uri").long("uri").env("RATES_DATABASE_URI_FILE"));
        let command = Command::new("rates-api").subcommands([serve, migrate]);
        check(&command, names.iter().map(OsString::from))
    }

    #[test]
    fn a_mistyped_setting_is_refused_with_the_accepted_ones() {
        let error = check_names(&["PATH", "RATES_LISTEN", "RATES_LITSEN"]).unwrap_err();
        assert!(
            error.starts_with("unknown environment variable RATES_LITSEN; the settings are "),
            "{error}"
        );
        assert!(error.contains("RATES_LISTEN"), "{error}");
    }

    #[test]
    fn known_settings_and_other_programs_variables_are_accepted() {
        check_names(&[
            "PATH",
            "RATES_LISTEN",
            "RATES_DATABASE_URI_FILE",
            "KUBERNETES_SERVICE_HOST",
        ])
        .unwrap();
    }
}
