//! Transactions whose commit is told to a client: they are on disk, and a standby has them, as the server is set up.
//!
//! A commit that waits for a standby is never cancelled from here: it would be committed on this server alone, and seen.

use tokio_postgres::Transaction;

use super::error::StoreError;
use crate::database::{CancelledWaits, Origin, Session, Timelines};

pub struct Durable<'a> {
    pub transaction: Transaction<'a>,
    cancelled_waits: CancelledWaits,
    cancelled_before: u64,
    server: Option<(Origin, Timelines)>,
}

impl<'a> Durable<'a> {
    pub async fn begin(session: &'a mut Session) -> Result<Self, StoreError> {
        let cancelled_waits = session.cancelled_waits();
        let cancelled_before = cancelled_waits.count();
        let server = session.server();
        let transaction = session.client.transaction().await?;
        transaction
            .batch_execute("SET LOCAL synchronous_commit TO DEFAULT")
            .await?;
        Ok(Self {
            transaction,
            cancelled_waits,
            cancelled_before,
            server,
        })
    }

    /// Commits, and waits for as long as the server does.
    ///
    /// # Errors
    /// Also when the server was told not to wait: then it is committed, and may be lost with this server. And when another
    /// server was promoted meanwhile, which may not have it.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await?;
        if self.cancelled_waits.count() != self.cancelled_before {
            return Err(StoreError::Unconfirmed);
        }
        match self.server {
            Some((origin, timelines)) if timelines.is_superseded(origin) => Err(StoreError::Superseded),
            _ => Ok(()),
        }
    }
}

/// Commits something of its own, with which everything that was committed before is on disk and on a standby, as the
/// server is set up. Where it waits for none there is nothing to write: what is seen there is on disk.
pub async fn confirm(session: &mut Session) -> Result<(), StoreError> {
    let durable = Durable::begin(session).await?;
    let write = "SELECT CASE WHEN current_setting('synchronous_standby_names') <> ''
                 THEN pg_logical_emit_message(true, 'rates-api', '') END";
    durable.transaction.query_typed(write, &[]).await?;
    durable.commit().await
}
