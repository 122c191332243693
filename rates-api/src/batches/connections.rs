//! The connections of batches: a pool of their own, so that neither batches nor reads take the other's.

use std::time::Duration;

use deadpool::managed::BuildError;

use crate::database::{Connections, Primary};

/// A transaction that nobody goes on with, say of a frozen process, lets go of its locks.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A pool of at most that many connections, each statement on which may take that long.
///
/// # Errors
/// As the pool's builder does: with the settings made here, never.
pub fn connections(
    primary: &Primary,
    size: usize,
    statement_timeout: Duration,
) -> Result<Connections, BuildError> {
    // What is not visible yet need not be on disk: the commit that makes it visible waits for all before it.
    let prepare = format!(
        "SET synchronous_commit = off; SET client_min_messages = warning; SET jit = off; SET statement_timeout = {}; \
         SET idle_in_transaction_session_timeout = {}",
        statement_timeout.as_millis().max(1),
        IDLE_TIMEOUT.as_millis()
    );
    Connections::new(primary, "rates-api batches", size, prepare)
}
