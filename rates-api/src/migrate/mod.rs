//! Brings a database's schema to this program's version, whatever it finds, as often as it is called.

mod apply;
mod migration;
mod runner;

use std::time::Duration;

use tokio::time::Instant;

pub use apply::ApplyError;
pub use migration::{MalformedMigration, Migration, migrations};
pub use runner::{MigrateError, Options, Outcome, connect_until, migrate};

use crate::cli::MigrateJob;

/// The longest that one attempt to connect may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Migrates the database that the job's settings name.
///
/// # Errors
/// When the deadline passes, or a migration cannot be applied.
pub async fn run(job: &MigrateJob) -> Result<Outcome, MigrateError> {
    let options = Options {
        owner_role: job.owner.owner_role.clone(),
        deadline: Instant::now() + job.patience.deadline_seconds,
    };
    migrate(&job.database.address(), None, migrations()?, &options).await
}
