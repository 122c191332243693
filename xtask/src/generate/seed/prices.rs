//! Made-up prices: carriers offer a lane at a price for some days or weeks, then change or withdraw it.

use super::calendar::{Day, days};
use super::lanes::{self, EXAMPLE, Lane};
use super::random::Random;

/// One row of `prices`.
pub struct Price {
    pub origin: &'static str,
    pub destination: &'static str,
    pub day: Day,
    /// For a container.
    pub dollars: i64,
}

/// Changing it changes every price.
const SEED: u64 = 20_210_131;

/// What the examples in the documentation show for their pair: exactly three prices with the mean 1154.33….
const EXAMPLE_DAYS: [Day; 2] = [Day { month: 1, day: 30 }, Day { month: 1, day: 31 }];
const EXAMPLE_PRICES: [i64; 3] = [1098, 1131, 1234];

/// All prices, ordered by day, origin and destination.
pub fn all() -> Vec<Price> {
    let mut random = Random::new(SEED);
    let days = days();
    let market = market(&mut random, days.len());
    let mut prices = Vec::new();
    for lane in lanes::draw(&mut random) {
        let carriers = [1, 2, 2, 3, 3, 4, 5];
        let drawn = random.between(0, 6).unsigned_abs();
        for _ in 0..carriers
            .iter()
            .copied()
            .nth(usize::try_from(drawn).unwrap_or(0))
            .unwrap_or(1)
        {
            carrier(&mut random, &lane, &days, &market, &mut prices);
        }
    }
    prices.retain(|price| !is_example(price.origin, price.destination, price.day));
    for day in EXAMPLE_DAYS {
        prices.extend(EXAMPLE_PRICES.map(|dollars| Price {
            origin: EXAMPLE.0,
            destination: EXAMPLE.1,
            day,
            dollars,
        }));
    }
    // A stable sort: prices of one lane and day keep the order of their carriers.
    prices.sort_by_key(|price| (price.day, price.origin, price.destination));
    prices
}

fn is_example(origin: &str, destination: &str, day: Day) -> bool {
    (origin, destination) == EXAMPLE && EXAMPLE_DAYS.contains(&day)
}

/// The level of the market on each day, in thousandths of that on the first: a walk that mostly climbs.
fn market(random: &mut Random, days: usize) -> Vec<i64> {
    let mut level = 1000;
    (0..days)
        .map(|_| {
            level = (level + random.between(-6, 8)).clamp(700, 1900);
            level
        })
        .collect()
}

/// One carrier's prices on one lane: offers of 4 to 28 days, some of them withdrawn.
fn carrier(random: &mut Random, lane: &Lane, days: &[Day], market: &[i64], prices: &mut Vec<Price>) {
    let level = lane.base * random.between(880, 1120) / 1000;
    let mut day = usize::try_from(random.between(0, 25)).unwrap_or(0);
    while day < days.len() {
        let end = day
            .saturating_add(usize::try_from(random.between(4, 28)).unwrap_or(4))
            .min(days.len());
        if random.chance(3, 4) {
            let price = level * market[day] / 1000 + random.between(-25, 25);
            prices.extend(days[day..end].iter().map(|&day| Price {
                origin: lane.origin,
                destination: lane.destination,
                day,
                dollars: price,
            }));
        }
        day = end;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn by_lane_and_day(prices: &[Price]) -> BTreeMap<(&str, &str, Day), Vec<i64>> {
        let mut groups: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for price in prices {
            groups
                .entry((price.origin, price.destination, price.day))
                .or_default()
                .push(price.dollars);
        }
        groups
    }

    #[test]
    fn the_example_has_three_prices_with_the_mean_that_the_documentation_shows() {
        let prices = all();
        let groups = by_lane_and_day(&prices);
        for day in EXAMPLE_DAYS {
            let group = &groups[&("CNGGZ", "EETLL", day)];
            assert_eq!((group.len(), group.iter().sum::<i64>()), (3, 3463));
        }
    }

    #[test]
    fn there_are_days_with_every_number_of_prices_that_the_api_treats_differently() {
        let prices = all();
        let groups = by_lane_and_day(&prices);
        for count in 1..=4 {
            assert!(
                groups.values().any(|group| group.len() == count),
                "no day with {count} prices"
            );
        }
        let lanes: std::collections::BTreeSet<_> = groups
            .keys()
            .map(|(origin, destination, _)| (origin, destination))
            .collect();
        assert!(
            groups.len() < lanes.len() * days().len(),
            "no day without a price"
        );
    }

    #[test]
    fn prices_are_plausible() {
        assert!(all().iter().all(|price| (200..9000).contains(&price.dollars)));
    }
}
