//! What is answered at each path; the folder mirrors the paths.

pub mod batches;
pub mod docs;
pub mod healthz;
pub mod openapi;
pub mod places;
pub mod rates;
pub mod readyz;
pub mod root;

use crate::problem::{Problem, ProblemType};
use crate::readers::ReadError;
use crate::report::chain;

/// Seconds after which a caller may try again when the database is away.
pub const RETRY_AFTER: u32 = 2;

/// Why a read has no answer.
pub fn read_problem(error: &ReadError) -> Problem {
    match error {
        ReadError::Unavailable => {
            tracing::warn!(%error, "a read waited for the database in vain");
            Problem::unavailable("The database cannot be reached at the moment.", RETRY_AFTER)
        }
        ReadError::Busy => {
            tracing::warn!(%error, "a read waited for its turn in vain");
            Problem::new(
                ProblemType::TooManyReads,
                "As many reads of this kind as are made at once are under way.",
            )
            .retry_after(RETRY_AFTER)
        }
        ReadError::TooSlow => {
            tracing::warn!(%error, "a read took too long");
            Problem::new(
                ProblemType::ReadTooSlow,
                "The database took too long to answer. What asks for fewer days or a smaller region takes less.",
            )
            .retry_after(RETRY_AFTER)
        }
        ReadError::Refused(_) => {
            tracing::error!(error = chain(error), "a read failed");
            Problem::internal()
        }
    }
}

/// Asked by Kubernetes every second, to the end of the process: no traffic.
#[must_use]
pub fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}
