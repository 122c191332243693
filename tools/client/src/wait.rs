//! Waiting for a condition, never for a time.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at first. A look starts kubectl, which takes a third of that of a processor: where
/// many wait for long, looking would be what they wait for.
const FIRST_INTERVAL: Duration = Duration::from_millis(200);
/// And how often in the end.
const LAST_INTERVAL: Duration = Duration::from_secs(1);

/// What one look at a condition found.
pub enum Look<T> {
    /// It holds; this is what was found.
    Holds(T),
    /// Not yet; this is what is seen instead, for the message when time is up.
    NotYet(String),
}

/// Looks until the condition holds, less often the longer it takes. An error of the look itself counts as "not
/// yet": a server that is being restarted refuses connections for a moment.
pub fn until<T>(what: impl Display, limit: Duration, look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
    looking(what, limit, LAST_INTERVAL, look)
}

/// As [`until`], for what is measured while nothing else runs.
pub fn until_measured<T>(
    what: impl Display,
    limit: Duration,
    look: impl FnMut() -> Result<Look<T>>,
) -> Result<T> {
    looking(what, limit, FIRST_INTERVAL, look)
}

fn looking<T>(
    what: impl Display,
    limit: Duration,
    longest: Duration,
    mut look: impl FnMut() -> Result<Look<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        let seen = match look() {
            Ok(Look::Holds(found)) => return Ok(found),
            Ok(Look::NotYet(seen)) => seen,
            Err(error) => format!("{error:#}"),
        };
        if started.elapsed() > limit {
            bail!("not within {} s: {what}; last seen: {seen}", limit.as_secs());
        }
        thread::sleep((started.elapsed() / 10).clamp(FIRST_INTERVAL, longest));
    }
}
