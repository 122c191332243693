//! What kubectl asks while somebody types `kubectl renv`: commands, options and names of environments.

use std::time::Duration;

use anyhow::Result;
use clap::{Arg, Command};

use crate::canvas;
use crate::cluster::Cluster;
use crate::flags::Target;

/// kubectl runs the program of this name on PATH with what was typed.
pub const SCRIPT: &str = "\
#!/bin/sh
# kubectl_complete-renv, anywhere on PATH: kubectl then completes `kubectl renv`.
exec kubectl-renv __complete \"$@\"
";

/// No names of files.
const DIRECTIVE: &str = ":4\n";

/// Nobody waits longer for a key.
const PATIENCE: Duration = Duration::from_secs(3);

/// Prints what may stand in the place of the last word, a line each, as kubectl reads it.
pub async fn run(program: &Command, words: &[String]) -> Result<()> {
    let (last, before) = words
        .split_last()
        .map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let (command, rest) = innermost(program, before);
    let mut found: Vec<String> = if last.starts_with('-') {
        options(command)
    } else if command.has_subcommands() {
        let visible = command.get_subcommands().filter(|inner| !inner.is_hide_set());
        visible
            .map(|inner| described(inner.get_name(), inner.get_about()))
            .collect()
    } else if takes_name(command) && positionals(rest) == 0 {
        let target = target(before);
        tokio::time::timeout(PATIENCE, names(&target))
            .await
            .unwrap_or_default()
    } else {
        values(command)
    };
    found.retain(|candidate| candidate.starts_with(last));
    found.push(DIRECTIVE.to_owned());
    canvas::write(&found.join("\n"))
}

/// The command that the words lead to, and the words that follow it.
fn innermost<'a>(program: &'a Command, words: &'a [String]) -> (&'a Command, &'a [String]) {
    let (mut command, mut rest) = (program, words);
    while let Some((word, after)) = rest.split_first() {
        let Some(inner) = command.find_subcommand(word) else {
            break;
        };
        (command, rest) = (inner, after);
    }
    (command, rest)
}

fn takes_name(command: &Command) -> bool {
    let first = command.get_positionals().next();
    // A new one has no name yet.
    first.is_some_and(|first| first.get_id() == "name") && command.get_name() != "create"
}

/// How many of the words are no options and no values of those that many commands have.
fn positionals(words: &[String]) -> usize {
    let with_value = ["-n", "--namespace", "--context", "--kubeconfig"];
    let mut words = words.iter();
    let mut count = 0;
    while let Some(word) = words.next() {
        if with_value.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with('-') {
            count += 1;
        }
    }
    count
}

fn described(name: &str, about: Option<&clap::builder::StyledStr>) -> String {
    about.map_or_else(|| name.to_owned(), |about| format!("{name}\t{about}"))
}

fn options(command: &Command) -> Vec<String> {
    let long = |option: &Arg| Some(described(&format!("--{}", option.get_long()?), option.get_help()));
    command
        .get_opts()
        .chain(
            command
                .get_arguments()
                .filter(|argument| !argument.get_action().takes_values()),
        )
        .filter_map(long)
        .collect()
}

/// The words of the last argument that has a list of them.
fn values(command: &Command) -> Vec<String> {
    let last = command.get_positionals().last();
    last.map(Arg::get_possible_values)
        .unwrap_or_default()
        .iter()
        .map(|value| described(value.get_name(), value.get_help()))
        .collect()
}

/// Which cluster and namespace were typed.
fn target(words: &[String]) -> Target {
    let value = |names: &[&str]| {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if names.contains(&word.as_str()) {
                return words.next().cloned();
            }
            let joined = word.split_once('=').filter(|(name, _)| names.contains(name));
            if let Some((_, value)) = joined {
                return Some(value.to_owned());
            }
        }
        None
    };
    Target {
        namespace: value(&["-n", "--namespace"]),
        context: value(&["--context"]),
        kubeconfig: value(&["--kubeconfig"]).map(Into::into),
    }
}

/// The environments' names. Where they cannot be asked for there is nothing to complete.
async fn names(target: &Target) -> Vec<String> {
    let Ok(cluster) = Cluster::connect(target).await else {
        return Vec::new();
    };
    let found = cluster.list(false).await.unwrap_or_default();
    found
        .iter()
        .map(|environment| format!("{}\t{}", environment.name(), environment.phase()))
        .collect()
}
