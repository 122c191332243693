//! The answer of `GET /rates`: one entry a day, the newest first, also for days without a price.

use axum::body::Bytes;
use jiff::civil::Date;
use serde::Serialize;

use super::arguments::Days;

/// The prices of one day: their number and their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayTotal {
    pub day: Date,
    pub total: i64,
    pub count: i64,
}

#[derive(Debug, Serialize, PartialEq)]
pub struct Answer {
    rates: Vec<Rate>,
}

/// One day. The names are in the original's order, which is that of the alphabet.
#[derive(Debug, Serialize, PartialEq)]
struct Rate {
    /// Null where there is no price.
    count: Option<i64>,
    day: Date,
    /// The mean; null where there are fewer than three prices.
    price: Option<f64>,
}

/// A day with fewer prices shows no mean: it would give single offers away.
const ENOUGH: i64 = 3;

impl Answer {
    /// Every day of the range with what is known of it; no days, no entries.
    pub fn new(days: Option<Days>, mut totals: Vec<DayTotal>) -> Self {
        let Some(days) = days else {
            return Self { rates: Vec::new() };
        };
        totals.sort_unstable_by_key(|total| std::cmp::Reverse(total.day));
        // What is folded already and what is not yet are counted apart.
        totals.dedup_by(|next, day| day.add(*next));
        let mut totals = totals.into_iter().peekable();
        let mut rates = Vec::with_capacity(days.count());
        rates.extend(
            days.newest_first()
                .map(|day| match totals.next_if(|total| total.day == day) {
                    Some(total) => Rate {
                        count: Some(total.count),
                        day,
                        price: total.mean(),
                    },
                    None => Rate {
                        count: None,
                        day,
                        price: None,
                    },
                }),
        );
        Self { rates }
    }
}

impl Answer {
    /// As it is sent.
    pub fn into_json(self) -> Bytes {
        let mut json = Vec::with_capacity(64 * (self.rates.len() + 1));
        // Numbers, days and names: nothing that could fail.
        let _ = serde_json::to_writer(&mut json, &self);
        json.into()
    }
}

impl DayTotal {
    /// Adds another total of the same day; false for one of another day.
    fn add(&mut self, other: Self) -> bool {
        let same = self.day == other.day;
        if same {
            self.total += other.total;
            self.count += other.count;
        }
        same
    }

    /// The mean, rounded once, to the nearest double.
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact below 2^53, which is four million prices of the largest size"
    )]
    fn mean(self) -> Option<f64> {
        (self.count >= ENOUGH).then(|| self.total as f64 / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(day: i8) -> Date {
        Date::new(2021, 1, day).unwrap()
    }

    #[test]
    fn every_day_is_there_newest_first_with_nulls_where_the_original_had_them() {
        let days = Days {
            first: date(1),
            last: date(5),
        };
        let totals = vec![
            DayTotal {
                day: date(2),
                total: 10,
                count: 1,
            },
            DayTotal {
                day: date(5),
                total: 3463,
                count: 3,
            },
            DayTotal {
                day: date(4),
                total: 4616,
                count: 4,
            },
            DayTotal {
                day: date(3),
                total: 20,
                count: 2,
            },
        ];

        let json = serde_json::to_string(&Answer::new(Some(days), totals)).unwrap();

        assert_eq!(
            json,
            concat!(
                r#"{"rates":[{"count":3,"day":"2021-01-05","price":1154.3333333333333},"#,
                r#"{"count":4,"day":"2021-01-04","price":1154.0},"#,
                r#"{"count":2,"day":"2021-01-03","price":null},"#,
                r#"{"count":1,"day":"2021-01-02","price":null},"#,
                r#"{"count":null,"day":"2021-01-01","price":null}]}"#
            )
        );
    }

    #[test]
    fn totals_of_the_same_day_are_one() {
        let days = Days {
            first: date(1),
            last: date(1),
        };
        let part = |total, count| DayTotal {
            day: date(1),
            total,
            count,
        };
        let json = serde_json::to_string(&Answer::new(Some(days), vec![part(5, 1), part(7, 2), part(8, 2)]))
            .unwrap();
        assert_eq!(json, r#"{"rates":[{"count":5,"day":"2021-01-01","price":4.0}]}"#);
    }

    #[test]
    fn a_reversed_range_is_an_empty_list() {
        assert_eq!(
            serde_json::to_string(&Answer::new(None, Vec::new())).unwrap(),
            r#"{"rates":[]}"#
        );
    }
}
