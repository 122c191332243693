//! Why a read has no rows.

use crate::database::ExclusiveError;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("no connection to the database answered before the deadline")]
    Unavailable,
    #[error("as many such reads as are made at once were under way until the deadline")]
    Busy,
    #[error("the database took too long")]
    TooSlow,
    #[error("the database refused the query")]
    Refused(#[source] tokio_postgres::Error),
}

impl From<ExclusiveError> for ReadError {
    fn from(error: ExclusiveError) -> Self {
        match error {
            ExclusiveError::Busy => Self::Busy,
            ExclusiveError::TooSlow => Self::TooSlow,
            ExclusiveError::Unreachable(_) => Self::Unavailable,
            ExclusiveError::Refused(error) => Self::Refused(error),
        }
    }
}
