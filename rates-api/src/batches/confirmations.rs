//! What was decided before is told again only once a standby has it, as the server is set up.
//!
//! A decision that is seen may be on this server alone: its commit was told not to wait, or the server was started anew
//! before a standby had it. Something that is committed after it, and is waited for, says that it is elsewhere too. One
//! such commit serves all who asked before it began; while it waits, the others wait for the next.

use std::time::Duration;

use deadpool::managed::BuildError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::store::{self, StoreError};
use crate::database::{ConnectionError, Connections, Origin, Primary};
use crate::report::chain;

/// Making a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause before the database is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum ConfirmationError {
    #[error("no standby has confirmed in time that it has the decision")]
    TooSlow,
    #[error("another server was promoted meanwhile, which may not have the decision")]
    Superseded,
}

/// Gets the timeline on which a commit was confirmed that began after it asked.
type Waiter = oneshot::Sender<Option<Origin>>;

pub struct Confirmations {
    ask: mpsc::UnboundedSender<Waiter>,
    _confirming: AbortOnDropHandle<()>,
}

#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Confirmations {
    /// Has one connection, made when it is needed: however many ask, and for however long a standby is away, no more wait
    /// in the server.
    ///
    /// # Errors
    /// As the pool's builder does: with the settings made here, never.
    pub fn start(primary: &Primary) -> Result<Self, BuildError> {
        let prepare = "SET client_min_messages = warning".to_owned();
        let connections = Connections::new(primary, "rates-api confirmations", 1, prepare)?;
        let (ask, waiters) = mpsc::unbounded_channel();
        let confirming = tokio::spawn(confirm_for_all(connections, waiters));
        Ok(Self {
            ask,
            _confirming: AbortOnDropHandle::new(confirming),
        })
    }

    /// Waits until what was read on that timeline cannot be lost any more.
    ///
    /// # Errors
    /// When that is not known before the deadline, or was read on a server that is not the primary any more.
    pub async fn confirm(&self, read: Option<Origin>, deadline: Instant) -> Result<(), ConfirmationError> {
        let (waiter, answer) = oneshot::channel();
        self.ask.send(waiter).map_err(|_| ConfirmationError::TooSlow)?;
        match timeout_at(deadline, answer).await {
            Ok(Ok(confirmed)) if confirmed == read => Ok(()),
            Ok(Ok(_)) => Err(ConfirmationError::Superseded),
            Ok(Err(_)) | Err(_) => Err(ConfirmationError::TooSlow),
        }
    }
}

/// Commits for all who asked until then. A commit that waits is not given up.
async fn confirm_for_all(connections: Connections, mut asking: mpsc::UnboundedReceiver<Waiter>) {
    let mut waiters = Vec::new();
    loop {
        if waiters.is_empty() {
            let Some(first) = asking.recv().await else { return };
            waiters.push(first);
        }
        while let Ok(next) = asking.try_recv() {
            waiters.push(next);
        }
        match confirm_once(&connections).await {
            Ok(origin) => {
                for waiter in waiters.drain(..) {
                    let _ = waiter.send(origin);
                }
            }
            Err(error) => {
                tracing::debug!(error = chain(&error), "a confirmation is tried again");
                sleep(RETRY_PAUSE).await;
                waiters.retain(|waiter| !waiter.is_closed());
            }
        }
    }
}

async fn confirm_once(connections: &Connections) -> Result<Option<Origin>, AttemptError> {
    let mut connection = connections.get(PATIENCE).await?;
    store::confirm(&mut connection).await?;
    Ok(connection.origin())
}
