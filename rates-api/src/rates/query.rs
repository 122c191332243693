//! The prices of a pair of places, asked of the database.

use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::days::Days;
use super::total::DayTotal;
use crate::readers::{Position, ReadError, Readers};

/// The days of a pair of ports that have prices: day, sum, count.
const OF_PAIR: &str = include_str!("days.sql");
/// The ports that two codes stand for.
const PORTS_OF_CODES: &str = include_str!("ports.sql");
/// The days of all pairs of an origin and a destination out of two lists of ports.
const OF_PORTS: &str = include_str!("days_of_ports.sql");

/// What is asked over shared connections.
pub const STATEMENTS: [&str; 3] = [OF_PAIR, PORTS_OF_CODES, OF_PORTS];

/// What the shared connections are asked at most: as much as the longest range of one pair. More has a connection to
/// itself.
const CHEAP: usize = 4_000;

/// What finding a pair costs, in days: as much as reading so many.
const PAIR: usize = 20;

/// Where prices are from and to: the codes of ports, or the slugs of regions.
#[derive(Debug, PartialEq, Eq)]
pub struct Pair {
    pub origin: String,
    pub destination: String,
}

/// The days that have prices, in no order. A day may be there more than once.
///
/// # Errors
/// As the database fails.
pub async fn totals(
    readers: &Readers,
    pair: &Pair,
    days: Days,
    position: Option<&Position>,
    deadline: Instant,
) -> Result<Vec<DayTotal>, ReadError> {
    let parameters: [&(dyn ToSql + Sync); 4] = [&pair.origin, &pair.destination, &days.first(), &days.last()];
    let mut rows = readers.query(OF_PAIR, &parameters, position, deadline).await?;
    if rows.is_empty() {
        // No prices under these codes: they may be regions.
        rows = totals_of_regions(readers, pair, days, position, deadline).await?;
    }
    Ok(rows
        .iter()
        .map(|row| DayTotal {
            day: row.get(0),
            total: row.get(1),
            count: row.get(2),
        })
        .collect())
}

/// The totals of all pairs of the ports that the two codes stand for, where at least one of them is a region.
async fn totals_of_regions(
    readers: &Readers,
    pair: &Pair,
    days: Days,
    position: Option<&Position>,
    deadline: Instant,
) -> Result<Vec<Row>, ReadError> {
    let codes: [&(dyn ToSql + Sync); 2] = [&pair.origin, &pair.destination];
    let codes = readers.query(PORTS_OF_CODES, &codes, position, deadline).await?;
    let (origins, destinations): (Vec<String>, Vec<String>) = codes
        .first()
        .map_or_else(Default::default, |row| (row.get(0), row.get(1)));
    // Two ports, of which it is known that they have nothing.
    if origins == [pair.origin.as_str()] && destinations == [pair.destination.as_str()] {
        return Ok(Vec::new());
    }
    let (first, last) = (days.first(), days.last());
    match origins.len() * destinations.len() * (PAIR + days.count()) {
        0 => Ok(Vec::new()),
        1..=CHEAP => {
            let parameters: [&(dyn ToSql + Sync); 4] = [&origins, &destinations, &first, &last];
            readers.query(OF_PORTS, &parameters, position, deadline).await
        }
        _ => {
            let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
                (&origins, Type::TEXT_ARRAY),
                (&destinations, Type::TEXT_ARRAY),
                (&first, Type::DATE),
                (&last, Type::DATE),
            ];
            readers.query_expensive(OF_PORTS, &parameters, deadline).await
        }
    }
}
