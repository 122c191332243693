//! The connection of a batch that is being taken in, with the lock that says so.
//!
//! Every batch that comes in shares an advisory lock of the database. Whoever is about to stop the server in order
//! (`images/postgres/rates-postgres-drain`) asks for the same lock for itself: PostgreSQL then has new batches wait in
//! line behind it, while those under way go on to their end. The lock is taken in the statement that claims the batch
//! and given back after its answer is known, so that neither is waited for.

use std::pin::pin;
use std::time::Duration;

use deadpool::managed::Object;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::database::{Connection, Origin, Session};

/// The key of the lock; `rates-postgres-drain` has the same.
pub const TAKING_IN: i64 = 7_226_436_020_231_031;

/// How long a statement that nobody waits for any more may go on before it is cancelled, and then until the
/// connection is given up.
const GRACE: Duration = Duration::from_secs(1);

/// A connection out of the pool. It goes back there without the lock, or not at all.
pub struct LockedConnection {
    connection: Option<Connection>,
    locked: bool,
}

/// The connection was given back already; it never is while this can be used.
#[derive(Debug, thiserror::Error)]
#[error("the connection was given back")]
pub struct GivenBack;

impl LockedConnection {
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self {
            connection: Some(connection),
            locked: false,
        }
    }

    /// The timeline of its server.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.connection.as_ref()?.origin()
    }

    /// To ask something that takes no lock.
    ///
    /// # Errors
    /// Never before this is dropped.
    pub fn client(&mut self) -> Result<&mut Client, GivenBack> {
        Ok(&mut self.session()?.client)
    }

    /// To ask, and to see the end of the connection.
    ///
    /// # Errors
    /// Never before this is dropped.
    pub fn session(&mut self) -> Result<&mut Session, GivenBack> {
        self.connection.as_deref_mut().ok_or(GivenBack)
    }

    /// To send a statement that takes the lock: from now on it counts as taken, whatever becomes of the statement.
    ///
    /// # Errors
    /// Never before this is dropped.
    pub fn locking(&mut self) -> Result<&mut Client, GivenBack> {
        self.locked = true;
        self.client()
    }
}

impl Drop for LockedConnection {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take().filter(|_| self.locked) else {
            return;
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(give_back(connection))),
            // The end of the connection is the end of its locks.
            Err(_) => drop(Object::take(connection)),
        }
    }
}

/// Frees the lock. What was left in the middle rolls back before that; what does not end is cancelled; and a
/// connection that does not say that it is free is closed.
async fn give_back(connection: Connection) {
    let cancel = connection.client.cancel_token();
    let free = {
        let mut unlock = pin!(connection.client.batch_execute("SELECT pg_advisory_unlock_all()"));
        if let Ok(outcome) = timeout(GRACE, unlock.as_mut()).await {
            outcome.is_ok()
        } else {
            let _ = timeout(GRACE, cancel.cancel_query(NoTls)).await;
            matches!(timeout(GRACE, unlock).await, Ok(Ok(())))
        }
    };
    if !free {
        drop(Object::take(connection));
    }
}
