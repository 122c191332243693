//! Batches of prices: taken in beside what readers see, each then applied whole or not at all.
//!
//! The way of a batch: its token and key are checked ([`tokens`], [`key`]), a row of `batches` claims it ([`store`]),
//! a thread divides its bytes into rows, checks and groups them ([`intake`], [`unpacking`], [`content`], [`grouping`]), and each
//! hundred thousand go to `batch_prices`, where nothing sees them ([`copy`]). All of it goes over one connection, which
//! holds a lock that an orderly stop of the server waits for ([`held`]); its lease is renewed beside that ([`lease`]). When
//! all of it is there, one row changes, and the batch is visible. [`receive`] holds these together; [`lookup`] tells what
//! became of a batch. What happens later, on whichever process comes by, is in [`background`]: asynchronous batches are
//! finished, sums are folded, orphaned rows are cleared away.

pub mod background;
pub mod content;
mod copy;
mod findings;
pub mod grouping;
pub mod held;
pub mod intake;
pub mod key;
mod lease;
mod lookup;
mod ports;
mod receive;
mod refusal;
mod settings;
pub mod store;
mod tally;
pub mod tokens;
mod unpacking;
mod writers;

pub use findings::{Finding, FindingCount, Report};
pub use lookup::{Backlog, Lookup, LookupError};
pub use ports::Ports;
pub use receive::{Incoming, Receiver};
pub use refusal::Refusal;
pub use settings::BatchSettings;
pub use store::{Batch, Status, StoreError};
pub use tally::Tally;
pub use writers::writers;
