//! Sessions of other programs in the database, such as somebody's `psql`, count as use while they are open.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Usage;
use crate::database::{ConnectionError, Connections};
use crate::report::chain;

/// How often it is looked for them.
const PACE: Duration = Duration::from_secs(10);

/// Waiting for a connection, and making one.
const PATIENCE: Duration = Duration::from_secs(10);

/// The names of the project's own programs begin with `rates-`, whatever their login. Another environment that copies
/// this one has a login of its own, and counts.
const OTHERS: &str = "SELECT EXISTS (
         SELECT FROM pg_stat_activity
         WHERE datname = current_database() AND backend_type = 'client backend'
         AND (application_name NOT LIKE 'rates-%' OR usename LIKE 'rates\\_copy\\_%')
     )";

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("the sessions cannot be read")]
    Query(#[from] tokio_postgres::Error),
}

/// Looks for them until it is told to stop.
pub async fn watch(connections: Connections, usage: Usage, stopping: CancellationToken) {
    loop {
        match others(&connections).await {
            Ok(true) => usage.now(),
            Ok(false) => {}
            // Where there is no database nobody has a session.
            Err(error) => tracing::debug!(error = chain(&error), "sessions are not known"),
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = sleep(PACE) => {}
        }
    }
}

async fn others(connections: &Connections) -> Result<bool, Error> {
    let connection = connections.get(PATIENCE).await?;
    let rows = connection.client.query_typed(OTHERS, &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}
