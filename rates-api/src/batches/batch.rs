//! A batch as its row says, and as its clients see it.

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::validation_errors::ValidationReport;

/// A batch as its clients see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub id: i64,
    pub status: Status,
    pub asynchronous: bool,
    pub rows: i64,
    pub checksum: Option<String>,
    pub errors: Option<ValidationReport>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its content comes in.
    Receiving,
    /// A process of the release before has stored its content and did not decide it yet.
    Queued,
    Applied,
    Rejected,
    /// Its client or its process went away; nothing of it counts.
    Abandoned,
}

impl Status {
    const ALL: [Self; 5] = [
        Self::Receiving,
        Self::Queued,
        Self::Applied,
        Self::Rejected,
        Self::Abandoned,
    ];

    fn of(text: &str) -> Result<Self, UnknownStatus> {
        // A batch that one of those processes was about to decide.
        let text = if text == "running" { "queued" } else { text };
        Self::ALL
            .into_iter()
            .find(|status| status.name() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }

    /// As it is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Queued => "queued",
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Abandoned => "abandoned",
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the database has a batch whose status is `{0}`, which this program does not know")]
pub struct UnknownStatus(String);

/// What [`Batch::of_row`] reads.
pub const COLUMNS: &str = "id, status, asynchronous, rows, checksum, findings, created_at, finished_at";

impl Batch {
    /// Its state is the last one.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        matches!(self.status, Status::Applied | Status::Rejected)
    }

    pub fn of_row(row: &Row) -> Result<Self, UnknownStatus> {
        let errors: Option<Json<ValidationReport>> = row.get("findings");
        Ok(Self {
            id: row.get("id"),
            status: Status::of(row.get("status"))?,
            asynchronous: row.get("asynchronous"),
            rows: row.get("rows"),
            checksum: row.get("checksum"),
            errors: errors.map(|Json(report)| report),
            created_at: row.get("created_at"),
            finished_at: row.get("finished_at"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_is_not_known_is_an_error() {
        for status in Status::ALL {
            assert_eq!(Status::of(status.name()).unwrap(), status);
        }
        let error = Status::of("archived").unwrap_err().to_string();
        assert!(error.contains("`archived`"), "{error}");
    }
}
