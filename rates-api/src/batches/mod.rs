//! Batches of prices: taken in beside what readers see, each then applied whole or not at all.
//!
//! The way of a batch: its token and key are checked ([`tokens`], [`key`]), a row of `batches` claims it ([`store`]),
//! a thread divides its bytes into rows, validates and groups them ([`decoder`], [`content`], [`grouping`]),
//! and each half a million go to `batch_prices`, where nothing sees them ([`copy`]). All of it goes over one connection,
//! which holds a lock that an orderly stop of the server waits for ([`locked_connection`]); its lease is renewed beside
//! that ([`lease`]). When all of it is there, one row changes, and the batch is visible. [`ingest`] holds these together;
//! [`lookup`] tells what became of a batch, and [`confirmations`] that it will stay so. What happens later, on whichever process comes by, is in [`background`]: sums
//! are folded, orphaned rows are cleared away.

pub mod background;
pub mod batch;
mod confirmations;
mod connections;
pub mod content;
mod copy;
pub mod decoder;
mod error;
pub mod grouping;
mod ingest;
pub mod key;
mod lease;
pub mod locked_connection;
mod lookup;
mod metrics;
mod ports;
mod settings;
pub mod store;
pub mod tokens;
mod validation_errors;

pub use batch::{Batch, Status};
pub use confirmations::{ConfirmationError, Confirmations};
pub use connections::connections;
pub use error::BatchError;
pub use ingest::{BatchRequest, Ingest};
pub use lookup::{Backlog, Lookup, LookupError};
pub use metrics::BatchMetrics;
pub use ports::Ports;
pub use settings::BatchSettings;
pub use validation_errors::{ErrorCount, ValidationError, ValidationReport};
