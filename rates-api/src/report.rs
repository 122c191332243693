//! What a command says when it ends: to a person on standard error, and to the operator in the termination log.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

/// What Kubernetes keeps of a termination message.
const LIMIT: usize = 4096;
const DEFAULT: &str = "/dev/termination-log";

/// Where a command that runs in a Job leaves its report.
#[derive(clap::Args)]
pub struct Termination {
    /// The file for the report, JSON of at most 4096 bytes [default: /dev/termination-log where it exists]
    #[arg(long, env = "RATES_TERMINATION_LOG", value_name = "FILE")]
    pub termination_log: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
enum Report<'a, T> {
    Succeeded(T),
    Failed {
        message: &'a str,
    },
    /// Nothing was done, because of a failure that another container reports.
    Skipped {
        message: &'a str,
    },
}

impl Termination {
    /// Writes the outcome to the termination log, says it on the terminal, and gives the exit code.
    pub fn tell<T: Serialize, E: Error>(&self, outcome: Result<T, E>) -> ExitCode {
        let (report, code) = match outcome {
            Ok(value) => (serialise(&Report::Succeeded(value)), ExitCode::SUCCESS),
            Err(error) => (failure::<T>(&chain(&error)), ExitCode::FAILURE),
        };
        self.leave(&report);
        code
    }

    /// The same where nothing was done, because of a failure that another container reports.
    pub fn skip(&self, why: &dyn Error) -> ExitCode {
        let message = &chain(why);
        let report: Report<'_, ()> = Report::Skipped { message };
        self.leave(&serialise(&report));
        ExitCode::FAILURE
    }

    fn leave(&self, report: &str) {
        eprintln!("{report}");
        if let Some(path) = self.path()
            && let Err(error) = fs::write(&path, report)
        {
            eprintln!("cannot write the report to {}: {error}", path.display());
        }
    }

    fn path(&self) -> Option<PathBuf> {
        self.termination_log
            .clone()
            .or_else(|| Path::new(DEFAULT).exists().then(|| PathBuf::from(DEFAULT)))
    }
}

/// Prints why the process ends.
pub fn fail(what: &str, error: &dyn Error) -> ExitCode {
    eprintln!("rates-api: {what}: {}", chain(error));
    ExitCode::FAILURE
}

/// An error and its causes on one line; a cause that the text before it repeats is left out.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// A failure's report; a message that is too long loses its end until the whole fits.
fn failure<T: Serialize>(message: &str) -> String {
    let mut end = message.len();
    loop {
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let report = serialise::<T>(&Report::Failed {
            message: &message[..end],
        });
        if report.len() <= LIMIT || end == 0 {
            return report;
        }
        // A byte of the message takes up to six in JSON.
        end = end.saturating_sub((report.len() - LIMIT).div_ceil(6));
    }
}

fn serialise<T: Serialize>(report: &Report<'_, T>) -> String {
    serde_json::to_string(report).unwrap_or_else(|error| {
        format!(r#"{{"outcome":"failed","message":"cannot write the report: {error}"}}"#)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Done {
        schema_version: i32,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_success_holds_the_outcome_and_what_was_done() {
        let directory = tempfile::tempdir().unwrap();
        let termination = Termination {
            termination_log: Some(directory.path().join("log")),
        };

        termination.tell::<_, std::io::Error>(Ok(Done { schema_version: 2 }));

        let text = fs::read_to_string(directory.path().join("log")).unwrap();
        assert_eq!(text, r#"{"outcome":"succeeded","schemaVersion":2}"#);
    }

    #[test]
    fn a_failure_is_one_line_with_its_causes() {
        let directory = tempfile::tempdir().unwrap();
        let termination = Termination {
            termination_log: Some(directory.path().join("log")),
        };

        termination.tell::<Done, _>(Err(Outer(std::io::Error::other("inner"))));

        let text = fs::read_to_string(directory.path().join("log")).unwrap();
        assert_eq!(text, r#"{"outcome":"failed","message":"outer: inner"}"#);
    }

    #[test]
    fn a_long_message_is_cut_so_that_the_report_fits_and_stays_json() {
        for unit in ["x", "\n", "ä\"\u{1}"] {
            let report = failure::<Done>(&unit.repeat(5000));
            assert!(report.len() <= LIMIT, "{}", report.len());
            let value: serde_json::Value = serde_json::from_str(&report).unwrap();
            assert!(value["message"].as_str().unwrap().len() > 1000);
        }
    }
}
