//! `GET /rates`: the mean price and the number of prices of a pair of ports on each day of a range.

mod answer;
mod arguments;
mod get;

pub use get::get;

/// The days of a pair that have prices: day, sum, count.
pub const STATEMENT: &str = include_str!("days.sql");
/// The same for all pairs of two regions' ports, or of a region's and a port.
pub const OF_REGIONS: &str = include_str!("regions.sql");
