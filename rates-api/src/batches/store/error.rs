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
    /// It is committed, on this server alone.
    #[error("the commit was told not to wait for a standby")]
    Unconfirmed,
    #[error("another server was promoted while the batch was committed")]
    Superseded,
    /// A server lost what it had not on disk, or another took its place that never had it.
    #[error("the database has {found} of the batch's {expected} prices")]
    Incomplete { found: i64, expected: i64 },
    #[error("a port of the batch was deleted while it came in")]
    PortVanished,
    #[error(transparent)]
    UnknownStatus(#[from] UnknownStatus),
    #[error("{0} rows are more than the database can note")]
    RowCount(u64),
    #[error(transparent)]
    GivenBack(#[from] GivenBack),
}
