//! What a load gives back.

use std::sync::Arc;

use super::ledger::Ledger;
use super::record::Record;

/// Everything that was sent, and what came of it.
pub struct Log {
    pub records: Vec<Record>,
    pub ledger: Arc<Ledger>,
    /// Requests that found their connection closed before a byte of them was sent, and went out on another.
    pub unsent: usize,
}
