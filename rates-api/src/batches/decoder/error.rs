//! Why the content of a batch could not be read to its end.

use crate::batches::content::Malformed;
use crate::batches::unpacking::GzipError;

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
