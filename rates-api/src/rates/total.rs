//! What is known of one day.

use jiff::civil::Date;

/// The prices of one day: their number and their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayTotal {
    pub day: Date,
    pub total: i64,
    pub count: i64,
}

/// A day with fewer prices shows no mean: it would give single offers away.
const ENOUGH: i64 = 3;

impl DayTotal {
    /// Adds another total of the same day; false for one of another day.
    #[must_use]
    pub fn add(&mut self, other: Self) -> bool {
        let same = self.day == other.day;
        if same {
            self.total += other.total;
            self.count += other.count;
        }
        same
    }

    /// The mean, rounded once, to the nearest double; none of fewer than three prices.
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact below 2^53, which is four million prices of the largest size"
    )]
    #[must_use]
    pub fn mean(self) -> Option<f64> {
        (self.count >= ENOUGH).then(|| self.total as f64 / self.count as f64)
    }
}
