//! `GET /rates`: the mean price and the number of prices of a pair of ports on each day of a range.

mod answer;
mod arguments;
mod get;

pub use get::get;
