//! From the bytes of a batch to its rows, as they come in: nothing is kept but the piece of a row that is cut off.

mod csv;
mod format;
mod json;
mod ndjson;
mod row;

pub use format::Format;
pub use row::{Field, Price, Reason, Row, Rows};

use csv::Csv;
use json::Json;
use ndjson::Ndjson;

/// The longest row, in bytes.
pub const MAX_ROW_BYTES: usize = 16 * 1024;

/// Content that cannot be divided into rows: where, and what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// The row, counted from 1, in which it was found; none before the first.
    pub row: Option<u64>,
    pub message: String,
}

impl Malformed {
    fn new(row: Option<u64>, message: impl Into<String>) -> Self {
        Self {
            row,
            message: message.into(),
        }
    }

    fn too_long(row: u64) -> Self {
        Self::new(
            Some(row),
            format!("row {row} is longer than {MAX_ROW_BYTES} bytes"),
        )
    }
}

/// Divides content into rows, whatever pieces it comes in.
pub enum Content {
    Json(Json),
    Ndjson(Ndjson),
    Csv(Box<Csv>),
}

impl Content {
    #[must_use]
    pub fn new(format: Format) -> Self {
        match format {
            Format::Json => Self::Json(Json::default()),
            Format::Ndjson => Self::Ndjson(Ndjson::default()),
            Format::Csv => Self::Csv(Box::default()),
        }
    }

    /// Takes the next piece; the rows that end in it are given to `rows`.
    ///
    /// # Errors
    /// When it cannot be divided into rows. Rows with wrong values are not an error here.
    pub fn push(&mut self, piece: &[u8], rows: &mut impl Rows) -> Result<(), Malformed> {
        match self {
            Self::Json(json) => json.push(piece, rows),
            Self::Ndjson(ndjson) => ndjson.push(piece, rows),
            Self::Csv(csv) => csv.push(piece, rows),
        }
    }

    /// The content is complete.
    ///
    /// # Errors
    /// When it ends in the middle.
    pub fn finish(&mut self, rows: &mut impl Rows) -> Result<(), Malformed> {
        match self {
            Self::Json(json) => json.finish(),
            Self::Ndjson(ndjson) => ndjson.finish(rows),
            Self::Csv(csv) => csv.finish(rows),
        }
    }
}
