//! A batch: its own days of one pair, so that a read of them shows it whole, not at all, or wrongly.

use std::fmt::Write as _;

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::connection::Answer;
use super::question;
use super::record::{Wrong, WrongKind};

/// A pair of the seed; its days are long before those of batches.
pub const PAIR: (&str, &str) = ("CNGGZ", "EETLL");
/// The day after which there are batches only.
pub const EPOCH: Date = jiff::civil::date(2030, 1, 1);

/// How many days a batch has, and how many prices each.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub days: u16,
    pub prices: u16,
}

#[derive(Clone, Debug)]
pub struct Batch {
    pub number: usize,
    pub key: String,
    pub first: Date,
    pub size: Size,
}

/// What a read shows of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Whole,
    Nothing,
}

impl Batch {
    fn price(&self, day: u16, index: u16) -> u64 {
        100 + (self.number as u64 * 31 + u64::from(day) * 7 + u64::from(index)) % 900
    }

    fn days(&self) -> impl DoubleEndedIterator<Item = (u16, Date)> + '_ {
        (0..self.size.days).map(|day| (day, self.first.saturating_add(i32::from(day).days())))
    }

    /// The content in CSV, in so many parts of about the same length.
    #[must_use]
    pub fn parts(&self, count: usize) -> Vec<String> {
        let mut lines = vec!["orig_code,dest_code,day,price\n".to_owned()];
        for (day, date) in self.days() {
            for index in 0..self.size.prices {
                let (orig, dest) = PAIR;
                lines.push(format!("{orig},{dest},{date},{}\n", self.price(day, index)));
            }
        }
        let each = lines.len().div_ceil(count.max(1));
        lines.chunks(each).map(<[String]>::concat).collect()
    }

    /// `DAY|COUNT|SUM`, a line a day: what the database has of it.
    #[must_use]
    pub fn rows(&self) -> String {
        self.days().fold(String::new(), |mut text, (day, date)| {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{date}|{}|{}", self.size.prices, self.sum(day));
            text
        })
    }

    fn sum(&self, day: u16) -> u64 {
        (0..self.size.prices).map(|index| self.price(day, index)).sum()
    }

    #[must_use]
    pub fn path(&self) -> String {
        let last = self.first.saturating_add((i32::from(self.size.days) - 1).days());
        question::path(PAIR, self.first, last)
    }

    /// What the answer to a read of its days shows of it; an error for a part, or anything else.
    pub fn shown(&self, answer: &Answer) -> Result<Shown, Wrong> {
        let other = |text: String| Wrong::other(format!("{}: {text}", self.path()));
        if answer.status != 200 || !answer.content_type.starts_with("application/json") {
            return Err(other(format!("{} {}", answer.status, answer.content_type)));
        }
        let found: Value = serde_json::from_slice(&answer.body).map_err(|error| other(error.to_string()))?;
        let nothing: Value = self
            .days()
            .rev()
            .map(|(_, date)| json!({"day": date.to_string(), "count": null, "price": null}))
            .collect();
        if found["rates"] == nothing {
            return Ok(Shown::Nothing);
        }
        let whole: Value = self
            .days()
            .rev()
            .map(|(day, date)| {
                let count = self.size.prices;
                #[expect(clippy::cast_precision_loss, reason = "sums of prices are far below 2^53")]
                let mean = (count >= 3).then(|| self.sum(day) as f64 / f64::from(count));
                json!({"day": date.to_string(), "count": count, "price": mean})
            })
            .collect();
        if found["rates"] == whole {
            return Ok(Shown::Whole);
        }
        Err(Wrong {
            kind: WrongKind::Partial,
            text: format!("{}: {found}, neither the whole batch nor nothing", self.path()),
        })
    }
}
