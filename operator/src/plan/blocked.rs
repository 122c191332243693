//! What keeps a database's data from being loaded.

use crate::reason::Reason;

/// What keeps the data from being loaded: a person has to bring something, or a source cannot be copied yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blocked {
    pub reason: Reason,
    pub message: String,
}
