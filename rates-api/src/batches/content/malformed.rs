//! Content that is no list of rows.

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
    pub(super) fn new(row: Option<u64>, message: impl Into<String>) -> Self {
        Self {
            row,
            message: message.into(),
        }
    }

    pub(super) fn too_long(row: u64) -> Self {
        Self::new(
            Some(row),
            format!("row {row} is longer than {MAX_ROW_BYTES} bytes"),
        )
    }
}
