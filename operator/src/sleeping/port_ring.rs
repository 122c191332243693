//! Which port an environment gets: the next free one in a ring, so that a number is not used again soon.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::activator_ports::ActivatorPorts;

pub struct PortRing {
    ports: ActivatorPorts,
    state: Mutex<State>,
}

struct State {
    /// Where the search begins, counted from the first port.
    next: usize,
    /// Those that were given out, by environment, until it is awake: what is recorded may not be known everywhere yet.
    given: HashMap<String, u16>,
}

impl PortRing {
    /// `first` is any number; another one in each process spares the ports that were used last.
    pub fn new(ports: ActivatorPorts, first: u64) -> Self {
        let state = State {
            next: usize::try_from(first).unwrap_or_default(),
            given: HashMap::new(),
        };
        Self {
            ports,
            state: Mutex::new(state),
        }
    }

    /// The port of an environment: the one it has, if that is one of these; else the next that neither `recorded` nor an
    /// earlier call gave to another one.
    pub fn take(
        &self,
        environment: &str,
        has: Option<u16>,
        recorded: impl FnOnce() -> BTreeSet<u16>,
    ) -> Option<u16> {
        let mut state = self.lock();
        if let Some(port) = has.filter(|port| self.ports.contains(*port)) {
            return Some(port);
        }
        if let Some(port) = state.given.get(environment) {
            return Some(*port);
        }
        let mut used = recorded();
        used.extend(state.given.values());
        let all = self.ports.all();
        let count = all.len();
        let next = state.next % count;
        let (place, port) = all
            .clone()
            .cycle()
            .enumerate()
            .skip(next)
            .take(count)
            .find(|(_, port)| !used.contains(port))?;
        state.next = place + 1;
        state.given.insert(environment.to_owned(), port);
        Some(port)
    }

    pub fn release(&self, environment: &str) {
        self.lock().given.remove(environment);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ports: &str, first: u64) -> PortRing {
        PortRing::new(ports.parse().unwrap(), first)
    }

    fn none() -> BTreeSet<u16> {
        BTreeSet::new()
    }

    #[test]
    fn a_port_that_was_given_back_is_the_last_to_be_used_again() {
        let ring = ring("3000-3002", 0);
        assert_eq!(ring.take("a", None, none), Some(3000));
        assert_eq!(ring.take("a", None, none), Some(3000), "it has one");
        ring.release("a");
        let after: Vec<_> = ["b", "c", "d", "e"]
            .map(|name| ring.take(name, None, none))
            .into();
        assert_eq!(after, [Some(3001), Some(3002), Some(3000), None]);
    }

    #[test]
    fn fifty_at_once_get_fifty_ports() {
        let ring = &ring("3000-3063", 40);
        let ports: BTreeSet<_> = std::thread::scope(|scope| {
            let take = move |number: usize| ring.take(&format!("pier-{number}"), None, none);
            let all: Vec<_> = (0..50).map(|number| scope.spawn(move || take(number))).collect();
            all.into_iter().map(|one| one.join().unwrap().unwrap()).collect()
        });
        assert_eq!(ports.len(), 50);
    }

    #[test]
    fn what_others_have_recorded_is_passed_over_and_what_one_has_is_kept() {
        let ring = ring("3000-3002", 4);
        let recorded = || BTreeSet::from([3001]);
        assert_eq!(ring.take("a", None, recorded), Some(3002));
        assert_eq!(ring.take("b", Some(3001), recorded), Some(3001));
        assert_eq!(ring.take("c", Some(9), recorded), Some(3000), "of another range");
    }
}
