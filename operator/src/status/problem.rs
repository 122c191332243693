//! What is wrong, for a person to know.

use crate::apply;
use crate::error_chain::chain;
use crate::observe;
use crate::plan::{Environment, Invalid};
use crate::reason::Reason;

/// What stopped a reconcile, or a part of it, and is for a person to know.
#[derive(Clone, Debug)]
pub struct Problem {
    pub reason: Reason,
    pub message: String,
}

impl From<&Invalid> for Problem {
    fn from(invalid: &Invalid) -> Self {
        Self {
            reason: invalid.reason(),
            message: invalid.to_string(),
        }
    }
}

impl From<&apply::Error> for Problem {
    fn from(error: &apply::Error) -> Self {
        Self {
            reason: error.reason().unwrap_or(Reason::ApplyFailed),
            message: chain(error),
        }
    }
}

impl From<&observe::Error> for Problem {
    fn from(error: &observe::Error) -> Self {
        Self {
            reason: error.reason(),
            message: chain(error),
        }
    }
}

impl Problem {
    /// All that is wrong, under the reason of the first.
    #[must_use]
    pub fn of(environment: &Environment, failed: &[apply::Error]) -> Option<Self> {
        let specified = environment
            .invalid
            .iter()
            .chain(environment.ingest_tokens.as_ref().err());
        let told = specified.map(Self::from).chain(failed.iter().map(Self::from));
        told.reduce(|first, other| Self {
            reason: first.reason,
            message: format!("{}; {}", first.message, other.message),
        })
    }
}
