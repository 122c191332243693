//! How many databases and APIs are replaced at once because another release of the operator has
//! another template for their pods.
//!
//! What a person changes is not paced. Turns are kept in memory: after a restart of the operator
//! those that were under way come on top, once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whoever does not get ready stops the others no longer than this.
const LONGEST_TURN: Duration = Duration::from_mins(15);

/// The turns that there are, and who has them.
pub struct Pacing {
    pub(super) release: String,
    at_once: usize,
    turns: Mutex<HashMap<String, Instant>>,
}

impl Pacing {
    #[must_use]
    pub fn new(release: &str, at_once: u16) -> Self {
        Self {
            release: release.to_owned(),
            at_once: usize::from(at_once),
            turns: Mutex::default(),
        }
    }

    /// Whether an object has a turn, one it has already or the next one that is free.
    pub(super) fn take(&self, object: &str, now: Instant) -> bool {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, began| now.duration_since(*began) < LONGEST_TURN);
        if turns.contains_key(object) {
            return true;
        }
        let free = turns.len() < self.at_once;
        if free {
            turns.insert(object.to_owned(), now);
        }
        free
    }

    pub(super) fn give_back(&self, object: &str) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.remove(object);
    }

    /// What the status is to say of whoever waits.
    pub(super) fn waits(&self) -> String {
        format!(
            "waiting to be replaced with pods of this release of the operator, which replaces at most {} databases and \
             APIs at once (--rollouts-at-once)",
            self.at_once
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_bounded_given_back_and_end_by_themselves() {
        let (pacing, now) = (Pacing::new("2", 2), Instant::now());
        assert!(pacing.take("a", now) && pacing.take("b", now));
        assert!(pacing.take("a", now), "it has one already");
        assert!(!pacing.take("c", now));
        pacing.give_back("a");
        assert!(pacing.take("c", now) && !pacing.take("a", now));
        assert!(pacing.take("a", now + LONGEST_TURN));
    }
}
