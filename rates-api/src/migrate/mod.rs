//! Brings a database's schema to this program's version, whatever it finds, as often as it is called.

mod apply;
mod job;
mod runner;

pub use apply::ApplyError;
pub use job::{MigrateJob, run};
pub use runner::{CONNECT_TIMEOUT, MigrateError, Options, Outcome, connect_until, migrate};
