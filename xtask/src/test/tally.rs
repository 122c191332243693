//! Counting what passed, failed and was skipped, from the test runners' own closing lines.

use std::fmt::{Display, Formatter};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use host::command::describe;
use host::terminal;

/// What a run of tests came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// What failed and why, a line each.
    pub failures: Vec<String>,
}

impl Tally {
    /// Counts a check that is one test by itself; prints its error and goes on when it fails.
    pub fn check(&mut self, name: &str, check: impl FnOnce() -> Result<Outcome>) {
        let started = Instant::now();
        let said = match check() {
            Ok(Outcome::Passed) => {
                self.passed += 1;
                "ok".to_owned()
            }
            Ok(Outcome::Skipped(reason)) => {
                self.skipped += 1;
                format!("skipped: {reason}")
            }
            Err(error) => {
                self.fail(name, &format!("{error:#}"));
                format!("FAILED: {error:#}")
            }
        };
        terminal::note(format_args!(
            "check {name} ... {said} ({:.1} s)",
            started.elapsed().as_secs_f64()
        ));
    }

    /// Runs a command that prints libtest's closing lines, shows its output as it
    /// comes, and adds up its counts. A runner that fails without having counted a
    /// failure (it did not compile, it crashed) counts as one.
    pub fn run(&mut self, command: &mut Command) -> Result<()> {
        let line = describe(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        self.add(Self::of_output(&line, &mut child, stdout, "")?);
        Ok(())
    }

    /// As [`Tally::run`], rows of commands, `at_once` of them at once and in each one after another; each line is shown
    /// whole, with the name of its row. The next row starts when one is over, so the longest come first.
    pub fn run_side_by_side(&mut self, at_once: usize, rows: Vec<(String, Vec<Command>)>) -> Result<()> {
        let rows = Mutex::new(rows.into_iter());
        let next = || rows.lock().unwrap_or_else(PoisonError::into_inner).next();
        let one_after_another = || {
            let mut counted = Self::default();
            while let Some((name, commands)) = next() {
                counted.add(Self::of_row(&name, commands)?);
            }
            Ok(counted)
        };
        let runs: Vec<Result<Self>> = thread::scope(|scope| {
            let running: Vec<_> = (0..at_once).map(|_| scope.spawn(one_after_another)).collect();
            running
                .into_iter()
                .map(|run| {
                    run.join()
                        .unwrap_or_else(|_| bail!("reading a test's output panicked"))
                })
                .collect()
        });
        for run in runs {
            self.add(run?);
        }
        Ok(())
    }

    fn of_row(name: &str, commands: Vec<Command>) -> Result<Self> {
        let mut counted = Self::default();
        for command in commands {
            counted.add(Self::of_named(name, command)?);
        }
        Ok(counted)
    }

    fn of_named(name: &str, mut command: Command) -> Result<Self> {
        let line = describe(&command);
        let (output, ours) = std::io::pipe().context("cannot make a pipe")?;
        let theirs = ours.try_clone().context("cannot share a pipe")?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(ours)
            .stderr(theirs)
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        // The command holds the pipe's other ends; the output would not end with it.
        drop(command);
        Self::of_output(&line, &mut child, output, &format!("{name} | "))
    }

    /// Shows the output of a command, each line after `prefix`, and counts.
    fn of_output(line: &str, child: &mut Child, output: impl Read, prefix: &str) -> Result<Self> {
        let mut counted = Self::default();
        let mut failures = Failures::default();
        for output in BufReader::new(output).lines() {
            let output = output.with_context(|| format!("reading the output of `{line}`"))?;
            // A closed terminal must not end the tests.
            let _ = writeln!(std::io::stdout(), "{prefix}{output}");
            failures.read(&output);
            if let Some(result) = Self::of_line(&output) {
                counted.add(result);
            }
        }
        let failures = failures.all.into_iter();
        counted.failures = failures.map(|failure| format!("{prefix}{failure}")).collect();
        let status = child.wait()?;
        if !status.success() && counted.failed == 0 {
            terminal::note(format_args!("`{line}` ended with {status}"));
            counted.fail(&format!("{prefix}`{line}`"), &format!("ended with {status}"));
        }
        Ok(counted)
    }

    fn fail(&mut self, name: &str, why: &str) {
        self.failed += 1;
        self.failures.push(failure(name, why));
    }

    /// Adds what others came to.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
    }

    /// The counts of a line such as
    /// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s`.
    fn of_line(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |what: &str| {
            counts
                .split("; ")
                .find_map(|part| part.strip_suffix(what)?.trim().parse().ok())
                .unwrap_or(0)
        };
        Some(Self {
            passed: count("passed"),
            failed: count("failed"),
            skipped: count("ignored"),
            failures: Vec::new(),
        })
    }
}

/// Reads the failures that a runner tells before its closing line: `---- the test's name ----`, or with ` stdout` before
/// the last dashes, and what the test said.
#[derive(Default)]
struct Failures {
    all: Vec<String>,
    /// The failure that is being told: the test's name and what it said.
    told: Option<(String, String)>,
}

impl Failures {
    fn read(&mut self, line: &str) {
        let name = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" ----"))
            .map(|name| name.trim_end_matches(" stdout"));
        // The list of the names follows what they said.
        if name.is_some() || line == "failures:" {
            self.all
                .extend(self.told.take().map(|(name, said)| failure(&name, &said)));
        }
        if let Some(name) = name {
            self.told = Some((name.to_owned(), String::new()));
        } else if let Some((_, said)) = &mut self.told {
            said.push_str(line);
            said.push('\n');
        }
    }
}

/// So much of each end of what a failed test said is repeated.
const EXCERPT: usize = 300;

/// A line: the test's name and what it said, of a long text the two ends.
fn failure(name: &str, said: &str) -> String {
    let words: Vec<&str> = said
        .lines()
        .take_while(|line| *line != "stack backtrace:")
        .filter(|line| !line.starts_with("note: run with `RUST_BACKTRACE"))
        .flat_map(str::split_whitespace)
        .collect();
    let said = words.join(" ");
    let start = said.floor_char_boundary(EXCERPT);
    let end = said.ceil_char_boundary(said.len().saturating_sub(EXCERPT));
    if start < end {
        format!("{name}: {} … {}", &said[..start], &said[end..])
    } else {
        format!("{name}: {said}")
    }
}

impl Display for Tally {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(formatter, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// How a check ended that did not fail.
pub enum Outcome {
    Passed,
    /// Could not be run here, and why.
    Skipped(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_line_is_counted_and_others_are_not() {
        let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s";
        assert_eq!(
            Tally::of_line(line),
            Some(Tally {
                passed: 12,
                failed: 2,
                skipped: 1,
                failures: Vec::new(),
            })
        );
        assert_eq!(Tally::of_line("test some::test ... ok"), None);
    }

    #[test]
    fn a_runner_that_dies_without_a_count_is_a_failure() {
        let mut tally = Tally::default();
        tally.run(Command::new("sh").args(["-c", "exit 3"])).unwrap();
        assert_eq!((tally.passed, tally.failed, tally.skipped), (0, 1, 0));
        assert_eq!(tally.failures, ["`sh -c exit 3`: ended with exit status: 3"]);
    }

    #[test]
    fn failures_are_read_from_what_the_runner_tells() {
        let mut failures = Failures::default();
        let output = "test a ... FAILED\n\nfailures:\n\n\
             ---- tests::a stdout ----\n\nthread 'tests::a' panicked at src/a.rs:1:2:\n  left: 1\n right: 2\n\
             stack backtrace:\n   0: core::panicking::panic_fmt\n\
             note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n\n\
             ---- whole::b ----\nreads failed\n\nCaused by:\n    a timeout\n\n\n\
             failures:\n    tests::a\n    whole::b\n\ntest result: FAILED. 0 passed; 2 failed";
        for line in output.lines() {
            failures.read(line);
        }
        assert_eq!(
            failures.all,
            [
                "tests::a: thread 'tests::a' panicked at src/a.rs:1:2: left: 1 right: 2",
                "whole::b: reads failed Caused by: a timeout",
            ]
        );
    }

    #[test]
    fn of_what_a_failed_test_said_at_length_both_ends_are_told() {
        let line = failure("a", &format!("first {} last", "ä".repeat(1000)));
        assert!(
            line.starts_with("a: first ä") && line.ends_with("ä last"),
            "{line}"
        );
        assert!(line.len() < 700, "{line}");
    }

    #[test]
    fn a_failure_in_a_row_does_not_keep_the_rest_of_it_from_running() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let mut tally = Tally::default();
        tally
            .run_side_by_side(
                1,
                vec![
                    (
                        "first".to_owned(),
                        vec![
                            shell("exit 3"),
                            shell("echo 'test result: ok. 2 passed; 0 failed'"),
                        ],
                    ),
                    (
                        "second".to_owned(),
                        vec![shell("echo 'test result: ok. 4 passed; 0 failed'")],
                    ),
                ],
            )
            .unwrap();
        assert_eq!((tally.passed, tally.failed), (6, 1));
    }

    #[test]
    fn the_last_line_names_skipped_tests_only_where_there_are_some() {
        assert_eq!(
            Tally {
                passed: 3,
                ..Tally::default()
            }
            .to_string(),
            "3 passed, 0 failed"
        );
        assert_eq!(
            Tally {
                passed: 3,
                failed: 1,
                skipped: 2,
                ..Tally::default()
            }
            .to_string(),
            "3 passed, 1 failed, 2 skipped"
        );
    }
}
