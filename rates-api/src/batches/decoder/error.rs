//! Why the content of a batch could not be read to its end.

use std::io;

use crate::batches::content::Malformed;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GzipError {
    #[error("the content is not gzip: {0}")]
    Wrong(String),
    #[error("the content ends before the gzip stream is complete")]
    Cut,
    #[error("the zero bytes behind the gzip stream are followed by others")]
    BehindPadding,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the content is larger than {0} bytes")]
    TooManyBytes(u64),
    #[error("the content has more than {0} rows")]
    TooManyRows(u64),
    #[error(transparent)]
    Gzip(#[from] GzipError),
    #[error("a group of prices cannot be encoded: {0}")]
    Encode(String),
    /// Whoever sent the content, or whoever took the rows, is gone and knows why.
    #[error("the batch was given up")]
    GivenUp,
}

/// From reading and unpacking the body.
impl From<io::Error> for DecodeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionAborted => Self::GivenUp,
            io::ErrorKind::UnexpectedEof => GzipError::Cut.into(),
            _ => GzipError::Wrong(error.to_string()).into(),
        }
    }
}
