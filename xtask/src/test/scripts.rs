//! The checks of what is not Rust: shell and Python scripts, the local cluster's Go programs, and GitHub workflows.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::checks::passed;
use super::tally::{Outcome, Tally};
use host::command::output;
use host::terminal::Step;
use host::{packages, workspace};

/// Debian's packages with the programs that these checks run.
const PACKAGES: [&str; 3] = ["git", "python3-venv", "shellcheck"];

/// The version that is installed where there is none.
const RUFF: &str = "0.17.6";

/// The version that is built where there is none.
const ACTIONLINT: &str = "1.7.12";

/// The workflows that others copy.
const WORKFLOWS: [&str; 1] = ["manifests/pull-requests/github/workflow.yaml"];

/// A failing one does not keep the others from running.
pub fn check(tally: &mut Tally) {
    tally.check("shell scripts: shellcheck", shellcheck);
    tally.check("Python scripts: ruff", ruff);
    tally.check("Go programs: go vet", go_vet);
    tally.check("GitHub workflows: actionlint", actionlint);
}

fn shellcheck() -> Result<Outcome> {
    packages::install(&BTreeSet::from(PACKAGES))?;
    let scripts = shell_scripts()?;
    ensure!(!scripts.is_empty(), "no shell script was found");
    passed(
        Command::new("shellcheck")
            // `packages.sh` reads the release of the system that it runs on. Single quotes are meant.
            .args(["--external-sources", "--exclude=SC2016"])
            .args(scripts)
            .current_dir(workspace::root()),
    )
}

/// The files of the repository that say in their first line that a shell runs them.
fn shell_scripts() -> Result<Vec<PathBuf>> {
    let listed = output(
        Command::new("git")
            .args(["ls-files", "-z", "--", ".ci", "images", "manifests"])
            .current_dir(workspace::root()),
    )?;
    let mut scripts = Vec::new();
    for name in listed.split_terminator('\0') {
        let path = workspace::root().join(name);
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let first = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first = String::from_utf8_lossy(first);
        if first.starts_with("#!") && first.ends_with("sh") {
            scripts.push(name.into());
        }
    }
    Ok(scripts)
}

fn ruff() -> Result<Outcome> {
    packages::install(&BTreeSet::from(PACKAGES))?;
    passed(
        Command::new(ruff_program()?)
            .args([
                "check",
                "--quiet",
                "--no-cache",
                "--output-format=concise",
                "images",
            ])
            .current_dir(workspace::root()),
    )
}

/// ruff of the pinned version, installed for all clones where it is missing.
fn ruff_program() -> Result<PathBuf> {
    let folder = workspace::machine_state().join(format!("tools/ruff-{RUFF}"));
    let program = folder.join("bin/ruff");
    if !program.exists() {
        let step = Step::begin(format_args!("install ruff {RUFF}"));
        output(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        )?;
        output(
            Command::new(folder.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .arg(format!("ruff=={RUFF}")),
        )?;
        step.done();
    }
    Ok(program)
}

/// It runs shellcheck on the steps too.
fn actionlint() -> Result<Outcome> {
    packages::install(&BTreeSet::from(PACKAGES))?;
    passed(
        Command::new(actionlint_program()?)
            .args(["-no-color", "-oneline"])
            .args(WORKFLOWS)
            .current_dir(workspace::root()),
    )
}

/// actionlint of the pinned version, built for all clones where it is missing.
fn actionlint_program() -> Result<PathBuf> {
    let folder = workspace::machine_state().join(format!("tools/actionlint-{ACTIONLINT}"));
    let program = folder.join("actionlint");
    if !program.exists() {
        let step = Step::begin(format_args!("build actionlint {ACTIONLINT}"));
        let module = format!("github.com/rhysd/actionlint/cmd/actionlint@v{ACTIONLINT}");
        output(
            Command::new("go")
                .args(["install", &module])
                .env("GOBIN", &folder)
                .current_dir(workspace::root()),
        )?;
        step.done();
    }
    Ok(program)
}

fn go_vet() -> Result<Outcome> {
    local_cluster::vet()?;
    Ok(Outcome::Passed)
}
