//! Whose fault an error is: the connection's, or the statement's.

use tokio_postgres::error::SqlState;

/// The connection or the server went away; the statement is as good as before, on another connection.
#[must_use]
pub fn is_lost(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else { return true };
    code.code().starts_with("08")
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            // A primary that became a standby.
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ]
        .contains(code)
}
