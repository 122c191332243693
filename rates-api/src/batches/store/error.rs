//! Why a row of a batch could not be read or changed.

use crate::batches::batch::UnknownStatus;
use crate::batches::locked_connection::GivenBack;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database failed")]
    Database(#[from] tokio_postgres::Error),
    #[error("the connection to the database ended")]
    Ended,
    /// Another has it, or it was given up.
    #[error("the batch is not this process's any more")]
    Lost,
    #[error("a port of the batch was deleted while it came in")]
    PortVanished,
    #[error(transparent)]
    UnknownStatus(#[from] UnknownStatus),
    #[error("{0} rows are more than the database can note")]
    RowCount(u64),
    #[error(transparent)]
    GivenBack(#[from] GivenBack),
}
