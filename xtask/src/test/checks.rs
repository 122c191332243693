//! The checks of the sources: format, lints, imports, generated files, dependencies.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use super::documents;
use super::imports;
use super::tally::{Outcome, Tally};
use crate::generate;
use host::command::{self, output, run};
use host::terminal::Step;
use host::workspace;

/// The version that is installed where there is none.
const CARGO_DENY: &str = "0.20.2";

/// The checks that compile nothing; a failing one does not keep the others from running.
pub fn sources(tally: &mut Tally) {
    tally.check("format", || passed(&mut cargo(&["fmt", "--all", "--check"])));
    tally.check("format of Go sources", go_format);
    tally.check("no import cycles", || {
        imports::are_acyclic()?;
        Ok(Outcome::Passed)
    });
    tally.check("dependencies: bans, licences, sources", || {
        passed(&mut deny(&["bans", "licenses", "sources"])?)
    });
    tally.check("dependencies: advisories", advisories);
    tally.check("documents: files, links and diagrams", documents::check);
}

/// Whether the files that are made from the code are current; compiles the programs.
pub fn generated_files(tally: &mut Tally) {
    tally.check("generated files", || {
        generate::run(&generate::Arguments { check: true })?;
        Ok(Outcome::Passed)
    });
}

/// Clippy, of all that there is.
pub fn lints(tally: &mut Tally) {
    tally.check("lints", || {
        passed(&mut cargo(&[
            "clippy",
            "--quiet",
            "--release",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]))
    });
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = command::cargo();
    command.args(arguments);
    command
}

pub fn passed(command: &mut Command) -> Result<Outcome> {
    run(command)?;
    Ok(Outcome::Passed)
}

fn go_format() -> Result<Outcome> {
    let unformatted = output(
        Command::new("gofmt")
            .arg("-l")
            .args(["tools/local-cluster", "images"])
            .current_dir(workspace::root()),
    )?;
    if !unformatted.trim().is_empty() {
        bail!(
            "run gofmt -w on {}",
            unformatted.split_whitespace().collect::<Vec<_>>().join(" ")
        );
    }
    Ok(Outcome::Passed)
}

/// The advisory database is a git repository; where it cannot be reached, that is said, not passed over.
fn advisories() -> Result<Outcome> {
    match output(&mut deny(&["advisories"])?) {
        Ok(_) => Ok(Outcome::Passed),
        Err(error) if format!("{error:#}").contains("failed to fetch advisory database") => Ok(
            Outcome::Skipped("the advisory database cannot be reached".to_owned()),
        ),
        Err(error) => Err(error),
    }
}

fn deny(what: &[&str]) -> Result<Command> {
    let mut command = Command::new(cargo_deny()?);
    command
        .current_dir(workspace::root())
        .args(["--workspace", "check", "--hide-inclusion-graph"])
        .args(what);
    Ok(command)
}

/// cargo-deny of the pinned version, installed for all clones where it is missing.
fn cargo_deny() -> Result<PathBuf> {
    let root = workspace::machine_state().join(format!("tools/cargo-deny-{CARGO_DENY}"));
    let binary = root.join("bin/cargo-deny");
    if !binary.exists() {
        let step = Step::begin(format_args!("build cargo-deny {CARGO_DENY} (some minutes, once)"));
        run(cargo(&[
            "install",
            "--quiet",
            "--locked",
            "--version",
            CARGO_DENY,
            "cargo-deny",
            "--root",
        ])
        .arg(&root))?;
        step.done();
    }
    Ok(binary)
}
