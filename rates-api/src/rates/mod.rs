//! Rates: what is known of a pair of places on each day of a range, and how the database is asked for it.

mod days;
mod query;
mod total;

pub use days::{Days, MAX_DAYS, TooManyDays};
pub use query::{Pair, STATEMENTS, totals};
pub use total::DayTotal;
