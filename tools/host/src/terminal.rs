//! What a person sees while a command runs: one line a step, times, one line for an error.

use std::fmt::Display;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of a long step's progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

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
        Self {
            name,
            started: Instant::now(),
        }
    }

    /// Prints that the step is done and how long it took.
    pub fn done(self) {
        note(format_args!(
            "✓ {} ({:.1} s)",
            self.name,
            self.started.elapsed().as_secs_f64()
        ));
    }
}

/// A long step with a known number of parts.
pub struct Progress {
    step: Step,
    total: usize,
    state: Mutex<(usize, Instant)>,
}

impl Progress {
    /// Prints the step's name and starts its clock.
    pub fn begin(name: impl Display, total: usize) -> Self {
        Self {
            step: Step::begin(name),
            total,
            state: Mutex::new((0, Instant::now())),
        }
    }

    /// Counts one part as done; says so at most once in a few seconds.
    pub fn advance(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 += 1;
        if state.1.elapsed() >= PROGRESS_INTERVAL {
            state.1 = Instant::now();
            let seconds = self.step.started.elapsed().as_secs();
            // Parts that need no work are not counted, so the total is an upper bound.
            note(format_args!(
                "  {}: {} of at most {} ({seconds} s)",
                self.step.name, state.0, self.total
            ));
        }
    }

    /// Prints that the step is done and how long it took.
    pub fn done(self) {
        self.step.done();
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
