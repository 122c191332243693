//! Which pairs of ports have prices, and around what level.

use super::random::Random;

/// A pair of ports that ships are priced for.
pub struct Lane {
    pub origin: &'static str,
    pub destination: &'static str,
    /// US dollars for a container at the start of the year.
    pub base: i64,
}

/// A trade between two coasts: origins, destinations, how many of a hundred pairs are priced, and the range of base prices.
struct Trade {
    origins: &'static [&'static str],
    destinations: &'static [&'static str],
    share: i64,
    base: (i64, i64),
}

const TRADES: [Trade; 4] = [
    Trade {
        origins: &[
            "CNDLC", "CNGGZ", "CNNGB", "CNSHA", "CNSZX", "CNTAO", "CNTXG", "CNXMN", "HKHKG", "IDJKT",
            "KRPUS", "SGSIN", "THLCH", "VNSGN",
        ],
        destinations: &[
            "BEANR", "DEBRV", "DEHAM", "EETLL", "FIHEL", "FRLEH", "GBFXT", "GBSOU", "GRPIR", "ITGOA",
            "LTKLJ", "NLRTM", "NOOSL", "PLGDN", "SEGOT", "SIKOP",
        ],
        share: 72,
        base: (950, 2300),
    },
    Trade {
        origins: &["CNNGB", "CNSHA", "CNYTN", "JPYOK", "KRPUS", "TWKHH", "VNSGN"],
        destinations: &["CAVAN", "USLAX", "USLGB", "USNYC", "USOAK", "USSAV"],
        share: 80,
        base: (1500, 3900),
    },
    Trade {
        origins: &["BEANR", "DEHAM", "GBFXT", "NLRTM", "SEGOT"],
        destinations: &["AEJEA", "CNSHA", "INNSA", "JPTYO", "SGSIN"],
        share: 80,
        base: (420, 1100),
    },
    Trade {
        origins: &["DEHAM", "ESALG", "NLRTM"],
        destinations: &["ARBUE", "BRSSZ", "USNYC", "ZADUR"],
        share: 90,
        base: (800, 1900),
    },
];

/// The pair that the project's examples ask for; it is always priced.
pub const EXAMPLE: (&str, &str) = ("CNGGZ", "EETLL");

/// The lanes, in the order in which they are drawn.
pub fn draw(random: &mut Random) -> Vec<Lane> {
    let mut lanes = Vec::new();
    for trade in &TRADES {
        for &origin in trade.origins {
            for &destination in trade.destinations {
                let (low, high) = trade.base;
                let base = random.between(low, high);
                if random.chance(trade.share, 100) || (origin, destination) == EXAMPLE {
                    lanes.push(Lane {
                        origin,
                        destination,
                        base,
                    });
                }
            }
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::super::places::PORTS;
    use super::*;

    #[test]
    fn every_trade_is_between_known_ports() {
        for trade in &TRADES {
            for code in trade.origins.iter().chain(trade.destinations) {
                assert!(
                    PORTS.iter().any(|port| port.code == *code),
                    "{code} is not among the ports"
                );
            }
        }
    }

    #[test]
    fn a_few_hundred_pairs_are_priced_each_once() {
        let lanes = draw(&mut Random::new(7));
        let mut pairs: Vec<_> = lanes.iter().map(|lane| (lane.origin, lane.destination)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        assert_eq!(pairs.len(), lanes.len());
        assert!((200..400).contains(&pairs.len()), "{} pairs", pairs.len());
        assert!(pairs.contains(&EXAMPLE));
    }
}
