//! Turns of which there are so many at once. One that is not given back ends by itself, so that nobody stops the others
//! for longer than that.

use std::collections::HashMap;
use std::time::{Duration, Instant};

pub struct Turns {
    pub at_once: usize,
    longest: Duration,
    /// Who has a turn, with when it ends by itself.
    ends: HashMap<String, Instant>,
}

impl Turns {
    pub fn new(at_once: u16, longest: Duration) -> Self {
        Self {
            at_once: at_once.into(),
            longest,
            ends: HashMap::new(),
        }
    }

    /// Takes a turn, unless it has one, and leaves the free ones to so many others that come `before` it. An error says
    /// when to try again if nobody gives one back until then.
    pub fn take(&mut self, who: &str, before: usize, now: Instant) -> Result<(), Duration> {
        self.ends.retain(|_, end| *end > now);
        if self.ends.contains_key(who) {
            return Ok(());
        }
        let Some(late) = before.checked_sub(self.free()) else {
            self.ends.insert(who.to_owned(), now + self.longest);
            return Ok(());
        };
        let mut ends: Vec<_> = self.ends.values().collect();
        ends.sort_unstable();
        Err(ends.get(late).map_or(self.longest, |end| **end - now))
    }

    pub fn free(&self) -> usize {
        self.at_once.saturating_sub(self.ends.len())
    }

    /// Whether it had one.
    pub fn give_back(&mut self, who: &str) -> bool {
        self.ends.remove(who).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn turns_are_bounded_given_back_and_end_by_themselves() {
        let (mut turns, now) = (Turns::new(2, 9 * SECOND), Instant::now());
        assert_eq!([turns.take("a", 0, now), turns.take("b", 0, now)], [Ok(()); 2]);
        assert_eq!(turns.take("a", 5, now), Ok(()), "it has one already");
        assert!(turns.take("c", 0, now).is_err());
        assert!(turns.give_back("a") && !turns.give_back("a"));
        assert!(turns.take("c", 1, now).is_err(), "the free one is another's");
        assert_eq!(turns.take("c", 0, now), Ok(()));
        assert!(turns.take("a", 0, now).is_err());
        assert_eq!(turns.take("a", 1, now + 9 * SECOND), Ok(()));
    }

    #[test]
    fn who_waits_comes_again_when_the_turn_ends_that_is_to_be_its_own() {
        let (mut turns, now) = (Turns::new(2, 9 * SECOND), Instant::now());
        assert_eq!(turns.take("a", 0, now), Ok(()));
        assert_eq!(turns.take("b", 0, now + 4 * SECOND), Ok(()));
        let later = now + 5 * SECOND;
        let waits = [0, 1, 2].map(|before| turns.take("c", before, later));
        assert_eq!(waits, [Err(4 * SECOND), Err(8 * SECOND), Err(9 * SECOND)]);
    }
}
