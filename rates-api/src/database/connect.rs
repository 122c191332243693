//! A connection with a deadline around all of it: name look-up, TCP, authentication.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::task::AbortOnDropHandle;

/// A client and the task that moves its bytes. The connection ends when this is dropped.
pub struct Session {
    pub client: Client,
    driver: Driver,
}

/// The task that moves a connection's bytes; dropped, it ends the connection at once.
pub struct Driver(AbortOnDropHandle<()>);

impl Driver {
    /// Waits until the connection has ended, whatever ended it.
    pub async fn ended(&mut self) {
        if !self.0.is_finished() {
            let _ = (&mut self.0).await;
        }
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

/// Connects within the given time.
///
/// # Errors
/// When the server refuses, or is not through with the whole handshake in time.
pub async fn connect(config: &Config, within: Duration) -> Result<Session, ConnectError> {
    match tokio::time::timeout(within, config.connect(NoTls)).await {
        Ok(Ok((client, connection))) => {
            let driver = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(
                        error = crate::report::chain(&error),
                        "a connection to the database ended"
                    );
                }
            });
            Ok(Session {
                client,
                driver: Driver(AbortOnDropHandle::new(driver)),
            })
        }
        Ok(Err(error)) => Err(ConnectError::Refused(error)),
        Err(_) => Err(ConnectError::Timeout {
            seconds: within.as_secs_f64(),
        }),
    }
}
