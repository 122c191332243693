//! The command `migrate`.

use std::time::Duration;

use tokio::time::Instant;

use super::runner::{MigrateError, Options, Outcome, migrate};
use crate::database::DatabaseArguments;
use crate::duration::seconds;
use crate::migrations::migrations;
use crate::report::Termination;

#[derive(clap::Args)]
pub struct MigrateJob {
    #[command(flatten)]
    pub database: DatabaseArguments,

    /// The role that owns the schema; what is made is made as this role
    #[arg(
        long,
        env = "RATES_OWNER_ROLE",
        default_value = "rates_owner",
        value_name = "ROLE"
    )]
    pub owner_role: String,

    /// Seconds until the command gives up waiting for the database or for a lock in it
    #[arg(long, env = "RATES_DEADLINE_SECONDS", default_value = "600", value_parser = seconds, value_name = "SECONDS")]
    pub deadline_seconds: Duration,

    #[command(flatten)]
    pub termination: Termination,
}

impl MigrateJob {
    /// As whom the job migrates, and until when.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            owner_role: self.owner_role.clone(),
            deadline: Instant::now() + self.deadline_seconds,
        }
    }
}

/// Migrates the database that the job's settings name.
///
/// # Errors
/// When the deadline passes, or a migration cannot be applied.
pub async fn run(job: &MigrateJob) -> Result<Outcome, MigrateError> {
    migrate(&job.database.address(), None, migrations()?, &job.options()).await
}
