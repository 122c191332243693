//! Waiting for a condition, never for a time.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// What one look at a condition found.
pub enum Look<T> {
    /// It holds; this is what was found.
    Holds(T),
    /// Not yet; this is what is seen instead, for the message when time is up.
    NotYet(String),
}

/// Looks until the condition holds. An error of the look itself counts as "not
/// yet": a server that is being restarted refuses connections for a moment.
pub fn until<T>(what: impl Display, limit: Duration, mut look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
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
        thread::sleep(INTERVAL);
    }
}
