//! What keeps a database's data from being loaded.

use crate::reason::Reason;

/// What keeps the data from being loaded: a person has to bring something, or a source cannot be copied yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blocked {
    pub reason: Reason,
    pub message: String,
    /// The hash of the Job that looked for data in a volume of before, and found none.
    pub looked: Option<String>,
}

impl Blocked {
    pub(super) const fn new(reason: Reason, message: String) -> Self {
        Self {
            reason,
            message,
            looked: None,
        }
    }
}
