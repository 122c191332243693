//! The programs that cargo makes of tests. They are started here and not by cargo, which would run one after
//! another, and wait for whatever else it compiles meanwhile.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use serde::Deserialize;

use host::{command, packages};

/// A program of tests.
#[derive(Debug, PartialEq, Eq)]
pub struct TestProgram {
    /// The crate's folder, in which cargo would start it.
    folder: PathBuf,
    path: PathBuf,
}

impl TestProgram {
    /// The crate's name, which here is its folder's.
    pub fn crate_name(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder);
        command
    }
}

/// The browser in which tests look at pages, as Debian's package.
const BROWSER: &str = "chromium";

/// Compiles the tests of the workspace, all that cargo would run or what the arguments name. Meanwhile it installs their
/// browser, which takes a minute where it is missing.
pub fn compile(arguments: &[&str]) -> Result<Vec<TestProgram>> {
    thread::scope(|scope| {
        let browser = scope.spawn(|| packages::install(&BTreeSet::from([BROWSER])));
        let programs = compiled(arguments)?;
        browser
            .join()
            .map_err(|_| anyhow!("installing the browser panicked"))??;
        Ok(programs)
    })
}

fn compiled(arguments: &[&str]) -> Result<Vec<TestProgram>> {
    let messages = command::output(
        command::cargo()
            .args([
                "test",
                "--release",
                "--workspace",
                "--no-run",
                "--message-format=json-render-diagnostics",
            ])
            .args(arguments),
    )?;
    let programs = programs(&messages);
    // What is not found is not run, and nobody would miss it.
    ensure!(!programs.is_empty(), "cargo names no program of tests");
    Ok(programs)
}

/// What cargo says of a thing that it made.
#[derive(Deserialize)]
struct Made {
    profile: Profile,
    manifest_path: PathBuf,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The programs of tests among all that cargo made.
fn programs(messages: &str) -> Vec<TestProgram> {
    messages
        .lines()
        // Messages of other kinds have other fields.
        .filter_map(|line| serde_json::from_str::<Made>(line).ok())
        .filter(|made| made.profile.test)
        .filter_map(|made| {
            Some(TestProgram {
                folder: made.manifest_path.parent()?.to_path_buf(),
                path: made.executable?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_tests_are_found_among_what_cargo_made() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/r/anyhow/Cargo.toml","target":{"name":"anyhow"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","manifest_path":"/c/tools/bench/Cargo.toml","target":{"name":"rollouts"},"profile":{"test":false},"executable":"/target/release/rollouts"}
{"reason":"compiler-artifact","manifest_path":"/c/e2e/Cargo.toml","target":{"name":"whole"},"profile":{"test":true},"executable":"/target/release/deps/whole-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            programs(messages),
            [TestProgram {
                folder: PathBuf::from("/c/e2e"),
                path: PathBuf::from("/target/release/deps/whole-1"),
            }]
        );
        assert_eq!(programs("{}\nnot JSON"), []);
    }
}
