//! The answer of `GET /rates`: one entry a day, the newest first, also for days without a price.

use axum::body::Bytes;
use jiff::civil::Date;
use serde::Serialize;

use crate::rates::{DayTotal, Days};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn date(day: i8) -> Date {
        Date::new(2021, 1, day).unwrap()
    }

    #[test]
    fn every_day_is_there_newest_first_with_nulls_where_the_original_had_them() {
        let days = Days::between(date(1), date(5)).unwrap();
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

        let json = serde_json::to_string(&Answer::new(days, totals)).unwrap();

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
        let days = Days::between(date(1), date(1)).unwrap();
        let part = |total, count| DayTotal {
            day: date(1),
            total,
            count,
        };
        let json =
            serde_json::to_string(&Answer::new(days, vec![part(5, 1), part(7, 2), part(8, 2)])).unwrap();
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
