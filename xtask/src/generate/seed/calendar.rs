//! The days that the seed covers: the first half of 2021.

use std::fmt;

const MONTHS: [(u8, u8); 6] = [(1, 31), (2, 28), (3, 31), (4, 30), (5, 31), (6, 30)];

/// A day of 2021.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Day {
    pub month: u8,
    pub day: u8,
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "2021-{:02}-{:02}", self.month, self.day)
    }
}

/// Every day from 1 January to 30 June 2021.
pub fn days() -> Vec<Day> {
    MONTHS
        .iter()
        .flat_map(|&(month, last)| (1..=last).map(move |day| Day { month, day }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_year_has_181_days() {
        let days = days();
        assert_eq!(days.len(), 181);
        assert_eq!(days[0].to_string(), "2021-01-01");
        assert_eq!(days[180].to_string(), "2021-06-30");
    }
}
