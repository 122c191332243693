//! Which environments are to be looked at, and when: each once at a time, and again if it changed
//! meanwhile. Knows nothing of Kubernetes.

use std::collections::{BTreeSet, HashMap, HashSet};

use tokio::time::Instant;

use crate::cache::Key;

#[derive(Default)]
pub struct Queue {
    /// In the order in which they are due.
    due: BTreeSet<(Instant, Key)>,
    when: HashMap<Key, Instant>,
    running: HashSet<Key>,
}

impl Queue {
    /// Asks for an environment to be looked at, at a time or earlier.
    pub fn add(&mut self, key: Key, at: Instant) {
        if let Some(planned) = self.when.get(&key) {
            if *planned <= at {
                return;
            }
            self.due.remove(&(*planned, key.clone()));
        }
        self.when.insert(key.clone(), at);
        self.due.insert((at, key));
    }

    /// The next one that is due and not being looked at; it then is, until it is [`done`](Self::done).
    pub fn next(&mut self, now: Instant) -> Option<Key> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        let next = due
            .map(|(_, key)| key)
            .find(|key| !self.running.contains(*key))?
            .clone();
        if let Some(at) = self.when.remove(&next) {
            self.due.remove(&(at, next.clone()));
        }
        self.running.insert(next.clone());
        Some(next)
    }

    pub fn done(&mut self, key: &Key) {
        self.running.remove(key);
    }

    /// When the next one is due that is not being looked at.
    pub fn wakes_at(&self) -> Option<Instant> {
        let waiting = self.due.iter().find(|(_, key)| !self.running.contains(key));
        waiting.map(|(at, _)| *at)
    }

    /// How many are due and not being looked at.
    pub fn depth(&self, now: Instant) -> usize {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        due.filter(|(_, key)| !self.running.contains(key)).count()
    }

    pub fn running(&self) -> usize {
        self.running.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn next(queue: &mut Queue, now: Instant) -> Option<String> {
        queue.next(now).map(|key| key.to_string())
    }

    #[test]
    fn what_is_asked_for_twice_is_looked_at_once_and_at_the_earlier_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let later = now + Duration::from_secs(9);
        queue.add("a".into(), later);
        assert_eq!(next(&mut queue, now), None);
        assert_eq!(queue.wakes_at(), Some(later));
        queue.add("a".into(), now);
        queue.add("a".into(), later);
        assert_eq!(queue.depth(now), 1);
        assert_eq!(next(&mut queue, now).as_deref(), Some("a"));
        queue.done(&"a".into());
        assert_eq!(next(&mut queue, later), None);
    }

    #[test]
    fn what_changes_while_it_is_looked_at_is_looked_at_again_afterwards() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add("a".into(), now);
        assert_eq!(next(&mut queue, now).as_deref(), Some("a"));
        queue.add("a".into(), now);
        queue.add("b".into(), now);
        assert_eq!(next(&mut queue, now).as_deref(), Some("b"));
        assert_eq!(next(&mut queue, now), None, "not twice at once");
        assert_eq!((queue.running(), queue.wakes_at()), (2, None));
        queue.done(&"a".into());
        assert_eq!(next(&mut queue, now).as_deref(), Some("a"));
    }
}
