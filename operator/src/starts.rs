//! How many new previews start at once.
//!
//! A start takes some seconds of processor time of a node, and most of what it waits for is asked for again and again:
//! started all at once, many take several times as long as a few after one another. First come, first served. Turns are
//! kept in memory: after a restart of the operator those that were starting come on top, once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt as _;

use crate::annotations::SLEEP;
use crate::cache::Key;
use crate::crd::{Phase, Profile};
use crate::observed::Observed;
use crate::turns::Turns;

const LONGEST_START: Duration = Duration::from_mins(1);

/// Who starts, and who waits for a turn.
pub struct Starts {
    queue: Mutex<Queue>,
}

struct Queue {
    turns: Turns,
    waiting: Vec<Key>,
}

impl Starts {
    #[must_use]
    pub fn new(at_once: u16) -> Self {
        Self {
            queue: Mutex::new(Queue {
                turns: Turns::new(at_once, LONGEST_START),
                waiting: Vec::new(),
            }),
        }
    }

    /// Why an environment has to wait before it is started, and when to look at it again; one that need not wait has a turn
    /// from now on.
    pub fn wait(&self, key: &str, observed: &Observed) -> Option<(String, Duration)> {
        if !is_new(observed) {
            return None;
        }
        let again = self.take(key, Instant::now()).err()?;
        let why = format!(
            "waits to be started: {} new previews start at once (--starts-at-once)",
            self.queue().turns.at_once
        );
        Some((why, again))
    }

    fn take(&self, key: &str, now: Instant) -> Result<(), Duration> {
        let Queue { turns, waiting } = &mut *self.queue();
        let place = waiting.iter().position(|waiting| **waiting == *key);
        let taken = turns.take(key, place.unwrap_or(waiting.len()), now);
        match (taken, place) {
            (Ok(()), Some(place)) => drop(waiting.remove(place)),
            (Err(_), None) => waiting.push(key.into()),
            (Ok(()), None) | (Err(_), Some(_)) => {}
        }
        taken
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
        let Queue { turns, waiting } = &mut *self.queue();
        let before = waiting.len();
        waiting.retain(|waiting| **waiting != *key);
        if !turns.give_back(key) && waiting.len() == before {
            return Vec::new();
        }
        waiting.iter().take(turns.free()).cloned().collect()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn take(starts: &Starts, key: &str, now: Instant) -> bool {
        starts.take(key, now).is_ok()
    }

    #[test]
    fn turns_are_bounded_and_go_to_who_came_first() {
        let (starts, now) = (Starts::new(2), Instant::now());
        assert!(take(&starts, "a", now) && take(&starts, "b", now));
        assert!(!take(&starts, "c", now) && !take(&starts, "d", now));
        assert!(starts.record("a", Some(Phase::Seeding)).is_empty());
        assert_eq!(starts.record("a", Some(Phase::Ready)), [Key::from("c")]);
        assert!(!take(&starts, "d", now), "the third comes first");
        assert!(take(&starts, "c", now));
        assert!(starts.record("a", Some(Phase::Ready)).is_empty(), "told once");
    }

    #[test]
    fn who_does_not_get_ready_and_who_goes_stop_nobody() {
        let (starts, now) = (Starts::new(1), Instant::now());
        assert!(take(&starts, "a", now) && !take(&starts, "b", now));
        assert_eq!(starts.take("c", now + LONGEST_START / 2), Err(LONGEST_START));
        assert!(starts.gone("b").is_empty(), "the turn is the first one's still");
        assert_eq!(starts.take("c", now + LONGEST_START / 2), Err(LONGEST_START / 2));
        let later = now + LONGEST_START;
        assert!(take(&starts, "c", later));
        assert!(!take(&starts, "a", later), "it waits as a new one");
        assert_eq!(starts.gone("c"), [Key::from("a")]);
    }
}
