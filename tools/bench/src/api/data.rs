//! The prices that are measured with: drawn uniformly from the pairs and days that there are, and the same in every run.
//!
//! The ports' codes are numbers, so that pgbench, which draws nothing else, can draw them too.

use std::collections::HashSet;

use fastrand::Rng;

/// As many ports as the real data has.
pub const PORTS: i32 = 82;
const FIRST_PORT: i32 = 10_000;
/// Each with each: 725 pairs, as many as the real data has.
const ORIGINS: i32 = 25;
const DESTINATIONS: i32 = 29;
/// All of January 2021.
pub const DAYS: i32 = 31;
pub const FIRST_DAY: &str = "2021-01-01";
pub const LAST_DAY: &str = "2021-01-31";
const LOWEST_PRICE: i32 = 500;
const HIGHEST_PRICE: i32 = 3000;

/// A price, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub origin: i32,
    pub destination: i32,
    /// Of January 2021, from 1; days before it are zero and less.
    pub day: i32,
    pub price: i32,
}

/// As many prices as are asked for.
pub struct Prices {
    random: Rng,
    left: u32,
    /// Of January 2021; before it, zero and less.
    first_day: i32,
}

impl Prices {
    /// The same seed gives the same prices.
    pub const fn new(seed: u64, count: u32) -> Self {
        Self {
            random: Rng::with_seed(seed),
            left: count,
            first_day: 1,
        }
    }

    /// Spreads them over so many days up to the last one of January 2021.
    pub const fn over(self, days: i32) -> Self {
        Self {
            first_day: DAYS - days + 1,
            ..self
        }
    }

    fn draw(&mut self, low: i32, high: i32) -> i32 {
        self.random.i32(low..=high)
    }
}

impl Iterator for Prices {
    type Item = Row;

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        (left, Some(left))
    }

    fn next(&mut self) -> Option<Row> {
        self.left = self.left.checked_sub(1)?;
        let [(first_origin, last_origin), (first_destination, last_destination)] = ports();
        Some(Row {
            origin: self.draw(first_origin, last_origin),
            destination: self.draw(first_destination, last_destination),
            day: self.draw(self.first_day, DAYS),
            price: self.draw(LOWEST_PRICE, HIGHEST_PRICE),
        })
    }
}

/// The codes of all ports: each is a number of five digits.
pub fn codes() -> impl Iterator<Item = i32> {
    FIRST_PORT..FIRST_PORT + PORTS
}

/// The first and the last origin, and the first and the last destination.
pub const fn ports() -> [(i32, i32); 2] {
    let first_destination = FIRST_PORT + ORIGINS;
    [
        (FIRST_PORT, first_destination - 1),
        (first_destination, first_destination + DESTINATIONS - 1),
    ]
}

/// Every pair.
pub fn pairs() -> impl Iterator<Item = (i32, i32)> {
    let [origins, destinations] = ports();
    (origins.0..=origins.1).flat_map(move |origin| {
        (destinations.0..=destinations.1).map(move |destination| (origin, destination))
    })
}

/// How many different keys (pair and day) the prices have.
pub fn distinct_keys(prices: Prices) -> usize {
    prices
        .map(|price| (price.origin, price.destination, price.day))
        .collect::<HashSet<_>>()
        .len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_pairs_as_in_the_real_data_and_all_of_known_ports() {
        let codes: Vec<i32> = codes().collect();
        assert_eq!(pairs().count(), 725);
        assert!(pairs().all(|(origin, destination)| codes.contains(&origin) && codes.contains(&destination)));
        assert!(pairs().all(|(origin, destination)| origin != destination));
    }

    #[test]
    fn the_prices_are_the_same_in_every_run_and_others_with_another_seed() {
        let drawn = |seed| Prices::new(seed, 1000).collect::<Vec<_>>();
        assert_eq!(drawn(1).len(), 1000);
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    #[test]
    fn more_days_are_earlier_ones() {
        let days = |days| Prices::new(1, 10_000).over(days).map(|row| row.day);
        assert_eq!((days(31).min(), days(31).max()), (Some(1), Some(31)));
        assert_eq!((days(33).min(), days(33).max()), (Some(-1), Some(31)));
    }

    #[test]
    fn a_million_prices_have_every_key() {
        assert_eq!(distinct_keys(Prices::new(1, 1_000_000)), 725 * 31);
    }
}
