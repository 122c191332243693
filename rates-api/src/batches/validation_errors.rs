//! What is wrong with the rows of a batch: all of it counted, the first of it listed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::content::{Field, Reason};

/// How many errors are listed one by one.
const LISTED: usize = 100;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ValidationErrors {
    listed: Vec<ValidationError>,
    counts: BTreeMap<(Field, Reason), u64>,
}

/// One wrong field of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationError {
    /// The row, counted from 1; the header line of CSV is none.
    pub row: u64,
    pub field: String,
    pub message: String,
}

/// How often a field was wrong in one way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    pub field: String,
    pub message: String,
    pub count: u64,
}

/// Errors as they are stored and answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidationReport {
    pub errors: Vec<ValidationError>,
    pub error_counts: Vec<ErrorCount>,
}

impl ValidationErrors {
    pub fn add(&mut self, row: u64, field: Field, reason: Reason, value: Option<&str>) {
        if self.listed.len() < LISTED {
            let message = match value {
                Some(value) => format!("{} {reason}", quoted(value)),
                None => reason.to_string(),
            };
            self.listed.push(ValidationError {
                row,
                field: field.name().to_owned(),
                message,
            });
        }
        *self.counts.entry((field, reason)).or_default() += 1;
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    #[must_use]
    pub fn report(self) -> ValidationReport {
        ValidationReport {
            errors: self.listed,
            error_counts: self
                .counts
                .into_iter()
                .map(|((field, reason), count)| ErrorCount {
                    field: field.name().to_owned(),
                    message: reason.to_string(),
                    count,
                })
                .collect(),
        }
    }
}

impl ValidationReport {
    /// How many errors there are in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.error_counts.iter().map(|kind| kind.count).sum()
    }
}

/// The beginning of a value, as a person would recognise it.
fn quoted(value: &str) -> String {
    const SHOWN: usize = 40;
    let shown: String = value.chars().take(SHOWN).collect();
    let more = if shown.len() < value.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_a_hundred_are_listed() {
        let mut errors = ValidationErrors::default();
        for row in 1..=150 {
            errors.add(row, Field::Day, Reason::NotADay, Some("x"));
        }
        errors.add(150, Field::Origin, Reason::UnknownPort, Some(&"é".repeat(60)));
        let report = errors.report();
        assert_eq!(report.errors.len(), 100);
        assert_eq!(report.total(), 151);
        assert_eq!(
            serde_json::to_value(&report.error_counts).unwrap(),
            serde_json::json!([
                {"field": "orig_code", "message": "is not the code of a known port", "count": 1},
                {"field": "day", "message": "is not a day; expected one such as 2021-01-31", "count": 150},
            ])
        );
        assert_eq!(
            serde_json::to_value(&report.errors[0]).unwrap(),
            serde_json::json!({"row": 1, "field": "day", "message": "\"x\" is not a day; expected one such as 2021-01-31"})
        );
    }
}
