//! A connection with a deadline around all of it: name look-up, TCP, authentication.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Socket};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use super::timelines::{Origin, Superseded, Timelines};
use crate::report::chain;

/// A handshake takes some milliseconds. One that takes longer than this may be with a server that is gone or frozen.
const PROMPT: Duration = Duration::from_millis(500);

/// A client and the task that moves its bytes. The connection ends when this is dropped.
pub struct Session {
    pub client: Client,
    driver: Driver,
    cancelled_waits: CancelledWaits,
    server: Option<(Origin, Timelines)>,
}

/// The task that moves a connection's bytes; dropped, it ends the connection at once.
pub struct Driver {
    task: AbortOnDropHandle<()>,
    dropped: CancellationToken,
    _drop: DropGuard,
}

/// How many commits of a connection were told to wait for a standby no longer. PostgreSQL has committed them all the
/// same, on this server alone, and says so in a warning.
#[derive(Debug, Clone, Default)]
pub struct CancelledWaits(Arc<AtomicU64>);

impl CancelledWaits {
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Driver {
    fn new(task: JoinHandle<()>) -> Self {
        let dropped = CancellationToken::new();
        Self {
            task: AbortOnDropHandle::new(task),
            _drop: dropped.clone().drop_guard(),
            dropped,
        }
    }

    /// Waits until the connection has ended, whatever ended it.
    pub async fn ended(&mut self) {
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }

    /// Ends the connection as soon as a newer timeline is seen than that of its server.
    fn end_when_superseded(&self, origin: Origin, timelines: &Timelines) {
        let (timelines, task, dropped) = (timelines.clone(), self.task.abort_handle(), self.dropped.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = dropped.cancelled() => {}
                () = timelines.superseded(origin) => {
                    let timeline = origin.timeline;
                    tracing::info!(timeline, "a connection to a server that was superseded is ended");
                    task.abort();
                }
            }
        });
    }
}

impl Session {
    /// The two halves, to use the client and see the end of its connection.
    pub fn halves(&mut self) -> (&mut Client, &mut Driver) {
        (&mut self.client, &mut self.driver)
    }

    /// The two halves, for a client that is shared.
    #[must_use]
    pub fn split(self) -> (Client, Driver) {
        (self.client, self.driver)
    }

    /// Ends the connection in order and waits until its socket is closed.
    pub async fn close(self) {
        let (client, mut driver) = self.split();
        drop(client);
        driver.ended().await;
    }

    /// Uses the connection as one to a primary on that timeline, until a newer one is seen: then it ends.
    ///
    /// # Errors
    /// When a newer one was seen already.
    pub fn admit(&mut self, origin: Origin, timelines: &Timelines) -> Result<(), Superseded> {
        timelines.admit(origin)?;
        self.driver.end_when_superseded(origin, timelines);
        self.server = Some((origin, timelines.clone()));
        Ok(())
    }

    /// The timeline of the server, once it was admitted.
    #[must_use]
    pub fn origin(&self) -> Option<Origin> {
        self.server.as_ref().map(|(origin, _)| *origin)
    }

    /// The timeline of the server, once it was admitted, and what is known of others.
    #[must_use]
    pub fn server(&self) -> Option<(Origin, Timelines)> {
        self.server.clone()
    }

    /// Another server was promoted since: what this one says may be old.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.server
            .as_ref()
            .is_some_and(|(origin, timelines)| timelines.is_superseded(*origin))
    }

    #[must_use]
    pub fn cancelled_waits(&self) -> CancelledWaits {
        self.cancelled_waits.clone()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the database did not answer within {seconds} s")]
    Timeout { seconds: f64 },
    #[error("cannot connect to the database")]
    Refused(#[source] tokio_postgres::Error),
}

impl ConnectError {
    /// The server's own error code, if it was the server that refused.
    #[must_use]
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Refused(error) => error.code(),
            Self::Timeout { .. } => None,
        }
    }
}

/// Connects within the given time, or twice that where the first handshake was slow.
///
/// While a handshake hangs, others are begun beside it: the name or the address may lead to another server meanwhile. One
/// that comes to its end late is not used, as its server may have been frozen in the middle and be superseded; a new one
/// leads to where the address leads now.
///
/// # Errors
/// When the server refuses, or is not through with the whole handshake in time.
pub async fn connect(config: &Config, within: Duration) -> Result<Session, ConnectError> {
    let out_of_time = |_| ConnectError::Timeout {
        seconds: within.as_secs_f64(),
    };
    let prompt = timeout(within, prompt(config)).await.map_err(out_of_time)?;
    let session = match prompt.map_err(ConnectError::Refused)? {
        Some(session) => session,
        None => timeout(within, handshake(config))
            .await
            .map_err(out_of_time)?
            .map_err(ConnectError::Refused)?,
    };
    Ok(session)
}

/// The first handshake that takes no longer than it should; none if only one came to its end that took longer.
async fn prompt(config: &Config) -> Result<Option<Session>, tokio_postgres::Error> {
    let mut first = pin!(handshake(config));
    if let Ok(done) = timeout(PROMPT, first.as_mut()).await {
        return done.map(Some);
    }
    loop {
        let end = Instant::now() + PROMPT;
        let beside = async {
            let session = timeout_at(end, handshake(config)).await;
            if !matches!(session, Ok(Ok(_))) {
                sleep_until(end).await;
            }
            session
        };
        tokio::select! {
            late = first.as_mut() => return late.map(|_| None),
            beside = beside => if let Ok(Ok(session)) = beside {
                return Ok(Some(session));
            },
        }
    }
}

async fn handshake(config: &Config) -> Result<Session, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    let cancelled_waits = CancelledWaits::default();
    let driver = tokio::spawn(drive(connection, cancelled_waits.clone()));
    Ok(Session {
        client,
        driver: Driver::new(driver),
        cancelled_waits,
        server: None,
    })
}

/// Moves the connection's bytes to its end. A warning of the server is noted before the end of its statement is told.
async fn drive(mut connection: Connection<Socket, NoTlsStream>, cancelled_waits: CancelledWaits) {
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            // By the name of the server's function: the text is in the server's language.
            Ok(AsyncMessage::Notice(notice)) if notice.routine() == Some("SyncRepWaitForLSN") => {
                tracing::warn!(
                    notice = notice.message(),
                    "a commit was told not to wait for a standby"
                );
                cancelled_waits.0.fetch_add(1, Ordering::Release);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(error = chain(&error), "a connection to the database ended");
                return;
            }
        }
    }
}
