//! How many databases and APIs are replaced at once because another release of the operator has
//! another template for their pods.
//!
//! What a person changes is not paced. Turns are kept in memory: after a restart of the operator
//! those that were under way come on top, once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::turns::Turns;

const LONGEST_TURN: Duration = Duration::from_mins(15);

/// The turns that there are, and who has them.
pub struct Pacing {
    pub(super) release: String,
    turns: Mutex<Turns>,
}

impl Pacing {
    #[must_use]
    pub fn new(release: &str, at_once: u16) -> Self {
        Self {
            release: release.to_owned(),
            turns: Mutex::new(Turns::new(at_once, LONGEST_TURN)),
        }
    }

    /// Whether an object has a turn, one it has already or the next one that is free.
    pub(super) fn take(&self, object: &str) -> bool {
        self.turns().take(object, 0, Instant::now()).is_ok()
    }

    pub(super) fn give_back(&self, object: &str) {
        self.turns().give_back(object);
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the status is to say of whoever waits.
    pub(super) fn waits(&self) -> String {
        format!(
            "waiting to be replaced with pods of this release of the operator, which replaces at most {} databases and \
             APIs at once (--rollouts-at-once)",
            self.turns().at_once
        )
    }
}
