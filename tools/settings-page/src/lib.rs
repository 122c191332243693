//! Compares the table of settings in a page of the documentation with the settings that a program has.

use std::collections::BTreeSet;

use clap::{Arg, Command};

/// Fails with the rows that the page lacks, and those that it should not have.
pub fn compare(command: &Command, page: &str) -> Result<(), String> {
    let expected: BTreeSet<String> = command
        .get_subcommands()
        .flat_map(Command::get_arguments)
        .chain(command.get_arguments())
        .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        .map(row)
        .collect();
    let found: BTreeSet<String> = page
        .lines()
        .filter(|line| line.starts_with("| `--"))
        .map(str::to_owned)
        .collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let stale: Vec<_> = found.difference(&expected).collect();
    if missing.is_empty() && stale.is_empty() {
        return Ok(());
    }
    Err(format!("it lacks {missing:#?} and should not have {stale:#?}"))
}

/// A setting as the documentation has it.
fn row(argument: &Arg) -> String {
    let code = |text: Option<String>| text.map_or_else(String::new, |text| format!("`{text}`"));
    let default = argument.get_default_values().first();
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let row = format!(
        "| {} | {} | {} | {} |",
        code(argument.get_long().map(|flag| format!("--{flag}"))),
        code(argument.get_env().map(|name| name.to_string_lossy().into_owned())),
        code(default.map(|value| value.to_string_lossy().into_owned())),
        help.replace('|', "\\|"),
    );
    // An empty cell is one blank wide.
    row.replace("|  |", "| |")
}
