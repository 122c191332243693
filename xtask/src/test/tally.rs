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
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
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
                self.failed += 1;
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
        for output in BufReader::new(output).lines() {
            let output = output.with_context(|| format!("reading the output of `{line}`"))?;
            // A closed terminal must not end the tests.
            let _ = writeln!(std::io::stdout(), "{prefix}{output}");
            if let Some(result) = Self::of_line(&output) {
                counted.add(result);
            }
        }
        let status = child.wait()?;
        if !status.success() && counted.failed == 0 {
            terminal::note(format_args!("`{line}` ended with {status}"));
            counted.failed = 1;
        }
        Ok(counted)
    }

    /// Adds what others came to.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
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
        })
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
                skipped: 1
            })
        );
        assert_eq!(Tally::of_line("test some::test ... ok"), None);
    }

    #[test]
    fn a_runner_that_dies_without_a_count_is_a_failure() {
        let mut tally = Tally::default();
        tally.run(Command::new("sh").args(["-c", "exit 3"])).unwrap();
        assert_eq!(
            tally,
            Tally {
                passed: 0,
                failed: 1,
                skipped: 0
            }
        );
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
                failed: 0,
                skipped: 0
            }
            .to_string(),
            "3 passed, 0 failed"
        );
        assert_eq!(
            Tally {
                passed: 3,
                failed: 1,
                skipped: 2
            }
            .to_string(),
            "3 passed, 1 failed, 2 skipped"
        );
    }
}
