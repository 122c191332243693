//! `GET /rates`: the mean price and the number of prices of a pair of ports on each day of a range.

mod answer;
mod arguments;
mod get;
mod regions;

pub use get::get;

/// The days of a pair that have prices: day, sum, count.
pub const STATEMENT: &str = include_str!("days.sql");
/// The ports that two codes stand for.
pub const PORTS_OF_CODES: &str = include_str!("ports.sql");
/// The days of all pairs of an origin and a destination out of two lists of ports.
pub const OF_PORTS: &str = include_str!("days_of_ports.sql");
