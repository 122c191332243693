//! Why a read has no answer, as a problem document.

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
