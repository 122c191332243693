//! What is asked of the seed's data, and what must be answered.

use anyhow::{Context as _, Result};
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::connection::Answer;
use client::dump::Dump;

/// One request and its only right answer.
#[derive(Clone, Debug)]
pub struct Question {
    pub path: String,
    status: u16,
    content_type: &'static str,
    /// Of the member `rates` or `detail`.
    answer: Value,
}

#[derive(Clone, Debug)]
pub struct Questions(Vec<Question>);

/// Days of the longest question.
const DAYS: i32 = 31;

impl Questions {
    /// So many questions about pairs and days of a dump, drawn with a seed; some of them refused ones.
    pub fn of(dump: &Dump, count: usize, seed: u64) -> Result<Self> {
        let mut random = fastrand::Rng::with_seed(seed);
        let pairs: Vec<_> = dump.prices.keys().collect();
        let (first, _) = dump.span().context("a dump without prices")?;
        let first: Date = first.parse().context("the dump's first day")?;
        let mut questions = vec![
            Question::refused("date_from=never&date_to=2021-01-31&orig_code=CNGGZ&dest_code=EETLL"),
            Question::of(dump, ("CNGGZ", "XXXXX"), first, 2)?,
        ];
        while questions.len() < count {
            let (orig, dest) = pairs
                .get(random.usize(0..pairs.len()))
                .context("a dump without pairs")?;
            let from = first.checked_add(random.i32(-3..28).days())?;
            questions.push(Question::of(dump, (orig, dest), from, random.i32(0..DAYS))?);
        }
        Ok(Self(questions))
    }

    pub fn draw(&self, random: &mut fastrand::Rng) -> Option<&Question> {
        random.choice(&self.0)
    }
}

impl Question {
    fn of(dump: &Dump, (orig, dest): (&str, &str), from: Date, more: i32) -> Result<Self> {
        let days = (0..=more)
            .rev()
            .map(|day| Ok(from.checked_add(day.days())?))
            .collect::<Result<Vec<_>>>()?;
        let to = from.checked_add(more.days())?;
        let rates = days.iter().map(|day| dump.expected(orig, dest, &day.to_string()));
        Ok(Self {
            path: path((orig, dest), from, to),
            status: 200,
            content_type: "application/json",
            answer: rates.collect(),
        })
    }

    fn refused(query: &str) -> Self {
        Self {
            path: format!("/rates?{query}"),
            status: 400,
            content_type: "application/problem+json",
            answer: json!("Invalid date arguments"),
        }
    }

    /// What is wrong with the answer, if anything is.
    pub fn judge(&self, answer: &Answer) -> Result<(), String> {
        if answer.status != self.status || !answer.content_type.starts_with(self.content_type) {
            return Err(format!(
                "{}: {} {}, {} {} expected",
                self.path, answer.status, answer.content_type, self.status, self.content_type
            ));
        }
        let found: Value =
            serde_json::from_slice(&answer.body).map_err(|error| format!("{}: {error}", self.path))?;
        let member = if self.status == 200 { "rates" } else { "detail" };
        if found[member] == self.answer {
            Ok(())
        } else {
            Err(format!("{}: {found}, {} expected", self.path, self.answer))
        }
    }
}

pub fn path((orig, dest): (&str, &str), from: Date, to: Date) -> String {
    format!("/rates?date_from={from}&date_to={to}&orig_code={orig}&dest_code={dest}")
}
