//! What a person sees while a command runs: one line a step, times, one line for an error.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Instant;

/// A step that is under way; says how long it took when it is done.
pub struct Step {
    name: String,
    started: Instant,
}

impl Step {
    /// Prints the step's name and starts its clock.
    pub fn begin(name: impl Display) -> Self {
        let name = name.to_string();
        note(format_args!("… {name}"));
        Self { name, started: Instant::now() }
    }

    /// Prints that the step is done and how long it took.
    pub fn done(self) {
        note(format_args!("✓ {} ({:.1} s)", self.name, self.started.elapsed().as_secs_f64()));
    }
}

/// Prints a line of progress to standard error; standard output is kept for results.
pub fn note(line: impl Display) {
    // A closed terminal must not end a build half-way.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints an error with its causes on one line.
pub fn error(error: &anyhow::Error) {
    note(format_args!("error: {error:#}"));
}
