//! Load on an environment's Service, of which every request is counted and every answer checked; and rollouts under it.
//!
//! Requests are due at fixed times, whatever answers take, and their time counts from when they were due. Nothing is
//! sent twice: a connection that is refused, reset, cut or silent is a failure. What an answer must be comes from the
//! seed's text and from a ledger of the batches that were sent.

mod batch;
mod connection;
mod driver;
pub mod failover;
mod failure;
mod kept;
mod ledger;
mod log;
mod question;
mod record;
pub mod rollouts;
mod running;
mod settings;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Size};
pub use failure::{Failure, Kind};
pub use ledger::{Difference, Ledger, Outcome, STATEMENT};
pub use log::Log;
pub use question::Questions;
pub use record::{Lane, Phase, Record, Summary, Verdict, Wrong, WrongKind, longest_gap};
pub use running::Load;
pub use settings::Settings;
