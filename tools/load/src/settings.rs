//! What a load is told.

use std::net::SocketAddr;
use std::time::Duration;

use super::question::Questions;

/// What is asked, how often, and of whom.
pub struct Settings {
    /// The Service's address.
    pub target: SocketAddr,
    /// Requests a second, of all kinds but batches.
    pub rate: f64,
    /// Between two batches of the mix, which are sent at once; beside them there are those of [`Load::send`].
    pub batch_every: Duration,
    /// Between two batches of a few rows, which show since when and until when writes do not pass; none without it.
    pub probe_every: Option<Duration>,
    /// The token that batches come with.
    pub token: String,
    /// Whether more connections are opened than there are usually, where requests take so long that all are in use: what
    /// waits for its turn is otherwise not the server's.
    pub overflow: bool,
    pub questions: Questions,
}
