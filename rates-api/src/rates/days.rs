//! Ranges of days.

use jiff::civil::Date;

/// The longest range, in days, both ends included.
pub const MAX_DAYS: i32 = 3660;

/// A range of days that is not reversed and not too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    first: Date,
    last: Date,
}

/// A range has that many days, which are more than [`MAX_DAYS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a range has {0} days, and may have {MAX_DAYS}")]
pub struct TooManyDays(pub i32);

impl Days {
    /// The days from the first to the last, both included; none if the last one is before the first.
    ///
    /// # Errors
    /// When there are too many.
    pub fn between(first: Date, last: Date) -> Result<Option<Self>, TooManyDays> {
        match span(first, last) {
            ..=0 => Ok(None),
            1..=MAX_DAYS => Ok(Some(Self { first, last })),
            length => Err(TooManyDays(length)),
        }
    }

    #[must_use]
    pub fn first(self) -> Date {
        self.first
    }

    #[must_use]
    pub fn last(self) -> Date {
        self.last
    }

    /// The number of days.
    #[must_use]
    pub fn count(self) -> usize {
        usize::try_from(span(self.first, self.last)).unwrap_or(0)
    }

    /// Every day, the newest first.
    pub fn newest_first(self) -> impl Iterator<Item = Date> {
        let first = self.first;
        std::iter::successors(Some(self.last), move |day| {
            (*day > first).then(|| day.yesterday().ok()).flatten()
        })
    }
}

/// Days from the first to the last, both included.
fn span(first: Date, last: Date) -> i32 {
    last.duration_since(first)
        .as_hours()
        .checked_div(24)
        .and_then(|days| i32::try_from(days).ok())
        .unwrap_or(i32::MAX)
        .saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_days_is_that_of_the_days() {
        for (first, last) in [
            ("2020-02-28", "2020-03-01"),
            ("2019-12-31", "2020-01-01"),
            ("2015-06-01", "2021-06-01"),
        ] {
            let days = Days::between(first.parse().unwrap(), last.parse().unwrap());
            let days = days.unwrap().unwrap();
            assert_eq!(days.count(), days.newest_first().count());
        }
    }
}
