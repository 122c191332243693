//! What every step of the background has in common.

use std::time::Duration;

use crate::batches::store::StoreError;
use crate::database::ConnectionError;

/// Making a connection, and waiting for a free one.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
