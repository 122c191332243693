//! What is known of a batch before a byte of its content is read.

use crate::batches::content::Format;
use crate::batches::tokens::Writer;

/// A request that may write, as its headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRequest {
    pub writer: Writer,
    pub key: Option<String>,
    pub format: Format,
    pub gzip: bool,
    pub asynchronous: bool,
}
