//! Why a batch was not taken in.

use std::time::Duration;

use super::decoder::DecodeError;
use super::locked_connection::GivenBack;
use super::ports::PortsError;
use super::store::StoreError;
use crate::database::{ConnectionError, is_lost};

/// Why a batch was not taken in. Nothing of it was written, unless it is in doubt.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error(transparent)]
    Content(#[from] DecodeError),
    #[error("the client went away before the content was complete")]
    Disconnected,
    #[error("no byte came for {} s", .0.as_secs_f64())]
    Silent(Duration),
    #[error("the batch took longer than {} s", .0.as_secs_f64())]
    TooLong(Duration),
    #[error("the process ends before the batch was complete")]
    Stopping,
    #[error("a batch with this key is being taken in")]
    InProgress,
    #[error("the key was used for other content")]
    KeyReused,
    #[error("as many batches as are taken in at once are under way")]
    Busy,
    #[error("the database was lost")]
    DatabaseLost(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer to the commit was lost, and the database cannot be asked what came of it.
    #[error("the database was lost while batch {id} was being decided")]
    InDoubt {
        id: i64,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is decided, on one server that may be lost. Asked again, it is told once a standby has it.
    #[error("batch {id} is decided, and no standby has confirmed that it has the decision")]
    Unconfirmed {
        id: i64,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("a port of the batch was deleted while it came in")]
    PortVanished,
    #[error("the batch failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for BatchError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(source) if is_lost(&source) => Self::DatabaseLost(source.into()),
            StoreError::PortVanished => Self::PortVanished,
            // The lease ran out, or the server did not keep it: as after a crash, it is to be sent again.
            StoreError::Lost | StoreError::Ended | StoreError::Superseded | StoreError::Incomplete { .. } => {
                Self::DatabaseLost(error.into())
            }
            StoreError::Database(source) => Self::Failed(source.into()),
            StoreError::UnknownStatus(_) | StoreError::RowCount(_) | StoreError::Unconfirmed => {
                Self::Failed(error.into())
            }
            StoreError::GivenBack(error) => error.into(),
        }
    }
}

impl From<PortsError> for BatchError {
    fn from(error: PortsError) -> Self {
        match error {
            PortsError::Database(source) => StoreError::Database(source).into(),
            PortsError::TooMany(_) => Self::Failed(error.into()),
        }
    }
}

impl From<ConnectionError> for BatchError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Busy => Self::Busy,
            other => Self::DatabaseLost(other.into()),
        }
    }
}

impl From<GivenBack> for BatchError {
    fn from(error: GivenBack) -> Self {
        Self::Failed(error.into())
    }
}
