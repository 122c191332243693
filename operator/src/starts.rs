//! How many new previews start at once.
//!
//! A start takes some seconds of processor time of a node, and most of what it waits for is asked for again and again:
//! started all at once, many take several times as long as a few after one another. First come, first served. Turns are
//! kept in memory: after a restart of the operator those that were starting come on top, once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt as _;

use crate::annotations::SLEEP;
use crate::cache::Key;
use crate::crd::{Phase, Profile};
use crate::observed::Observed;

/// Whoever does not get ready stops the others no longer than this.
pub const LONGEST_START: Duration = Duration::from_mins(1);

/// Who starts, and who waits for a turn.
pub struct Starts {
    at_once: usize,
    turns: Mutex<Turns>,
}

#[derive(Default)]
struct Turns {
    /// With when the turn began.
    starting: HashMap<Key, Instant>,
    waiting: Vec<Key>,
}

impl Starts {
    #[must_use]
    pub fn new(at_once: u16) -> Self {
        Self {
            at_once: at_once.into(),
            turns: Mutex::default(),
        }
    }

    /// Why an environment has to wait before it is started; one that need not has a turn from now on.
    pub fn wait(&self, key: &str, observed: &Observed) -> Option<String> {
        (is_new(observed) && !self.take(key, Instant::now())).then(|| {
            format!(
                "waits to be started: {} new previews start at once (--starts-at-once)",
                self.at_once
            )
        })
    }

    fn take(&self, key: &str, now: Instant) -> bool {
        let mut turns = self.turns();
        turns
            .starting
            .retain(|_, began| now.duration_since(*began) < LONGEST_START);
        if turns.starting.contains_key(key) {
            return true;
        }
        if !turns.waiting.iter().any(|waiting| **waiting == *key) {
            turns.waiting.push(key.into());
        }
        let place = turns.next(self.at_once).iter().position(|next| **next == *key);
        if let Some(place) = place {
            turns.waiting.remove(place);
            turns.starting.insert(key.into(), now);
        }
        place.is_some()
    }

    /// Takes the phase that an environment has come to; gives those whose turn it is now.
    pub fn record(&self, key: &str, phase: Option<Phase>) -> Vec<Key> {
        match phase {
            None | Some(Phase::Pending | Phase::Seeding | Phase::Progressing | Phase::Queued) => Vec::new(),
            _ => self.gone(key),
        }
    }

    /// Takes that an environment needs no turn any more; gives those whose turn it is now.
    pub fn gone(&self, key: &str) -> Vec<Key> {
        let mut turns = self.turns();
        let before = turns.waiting.len();
        turns.waiting.retain(|waiting| **waiting != *key);
        if turns.starting.remove(key).is_none() && turns.waiting.len() == before {
            return Vec::new();
        }
        turns.next(self.at_once).to_vec()
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    /// Those that may start.
    fn next(&self, at_once: usize) -> &[Key] {
        let free = at_once.saturating_sub(self.starting.len());
        &self.waiting[..free.min(self.waiting.len())]
    }
}

/// Whether nothing of it runs yet, and it is to run. One that wakes is waited for by a request, and starts at once.
fn is_new(observed: &Observed) -> bool {
    let environment = &observed.environment;
    let status = environment.status.clone().unwrap_or_default();
    let has_not_run = matches!(
        status.phase,
        None | Some(Phase::Pending | Phase::Queued | Phase::Suspended)
    );
    environment.spec.profile == Profile::Preview
        && !environment.spec.suspend
        && status.sleep.is_none()
        && !environment.annotations().contains_key(SLEEP)
        && has_not_run
        && !observed.has_started()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_bounded_and_go_to_who_came_first() {
        let (starts, now) = (Starts::new(2), Instant::now());
        assert!(starts.take("a", now) && starts.take("b", now));
        assert!(starts.take("a", now), "it has one already");
        assert!(!starts.take("c", now) && !starts.take("d", now));
        assert!(starts.record("a", Some(Phase::Seeding)).is_empty());
        assert_eq!(starts.record("a", Some(Phase::Ready)), [Key::from("c")]);
        assert!(!starts.take("d", now), "the third comes first");
        assert!(starts.take("c", now));
        assert!(starts.record("a", Some(Phase::Ready)).is_empty(), "told once");
    }

    #[test]
    fn who_does_not_get_ready_and_who_goes_stop_nobody() {
        let (starts, now) = (Starts::new(1), Instant::now());
        assert!(starts.take("a", now) && !starts.take("b", now) && !starts.take("c", now));
        assert!(starts.gone("b").is_empty(), "the turn is the first one's still");
        let later = now + LONGEST_START;
        assert!(starts.take("c", later));
        assert!(!starts.take("a", later), "it waits as a new one");
        assert_eq!(starts.gone("c"), [Key::from("a")]);
    }
}
