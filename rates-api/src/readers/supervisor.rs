//! The task that keeps one shared connection up: connect, check the schema, watch, replace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Config;

use super::position;
use super::reader::Reader;
use super::settings::ReaderSettings;
use crate::database::{
    Address, AddressError, ConnectError, Driver, Schema, SchemaError, Server, Session, Superseded, Timelines,
    connect, is_lost,
};
use crate::readiness::Readiness;
use crate::report::chain;

/// A first wait between attempts to connect, and the longest: service is back within half a second of the database.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(250));

/// How often a connection is asked whether it, and the schema behind it, are still good.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A connection that answers nothing for that long is no longer waited for alone.
const OVERDUE: Duration = Duration::from_secs(1);

/// The connections that are up, by slot.
pub type Live = Vec<Option<Arc<Reader>>>;

pub struct ConnectionSupervisor {
    pub index: usize,
    pub server: Server,
    pub address: Address,
    pub timelines: Timelines,
    pub settings: ReaderSettings,
    pub statements: Arc<[&'static str]>,
    pub readiness: Arc<Readiness>,
    pub live: Arc<watch::Sender<Live>>,
    /// Connections that ended so far.
    pub losses: Arc<AtomicU64>,
}

#[derive(Debug, thiserror::Error)]
enum SupervisorError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Superseded(#[from] Superseded),
    #[error("cannot prepare the statements that reads use")]
    Prepare(#[source] tokio_postgres::Error),
    #[error("the database took longer than {} s to prepare the connection", .0.as_secs_f64())]
    Slow(Duration),
}

/// A reader and what drives its connection.
struct Connected {
    reader: Arc<Reader>,
    driver: Driver,
    version: i32,
}

impl ConnectionSupervisor {
    /// Runs for the life of the process.
    pub async fn keep_connected(self) {
        let mut backoff = BACKOFF.0;
        let mut next = None;
        loop {
            let connected = match next.take() {
                Some(connected) => Ok(connected),
                None => self.connect().await,
            };
            match connected {
                Ok(connected) => {
                    let since = Instant::now();
                    next = self.serve(connected).await;
                    if next.is_some() {
                        continue;
                    }
                    // A connection that held is replaced at once; one that fails as soon as it is up is not.
                    if since.elapsed() > HEARTBEAT {
                        backoff = BACKOFF.0;
                        continue;
                    }
                }
                Err(error) => self.note(&error),
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    fn note(&self, error: &SupervisorError) {
        let reason = chain(error);
        tracing::warn!(server = ?self.server, slot = self.index, error = reason, "no connection to the database");
        match error {
            SupervisorError::Schema(SchemaError::TooOld { .. } | SchemaError::TooNew { .. }) => {
                self.readiness.unservable(reason);
            }
            SupervisorError::Prepare(error) if !is_lost(error) => self.readiness.unservable(reason),
            _ => self.readiness.unreachable(reason),
        }
    }

    async fn connect(&self) -> Result<Connected, SupervisorError> {
        let mut config = self.address.config()?;
        let within = self.settings.connect_timeout_seconds;
        let options = self.options(&config);
        config.connect_timeout(within).options(options);
        let session = connect(&config, within).await?;
        let prepared = self.prepare(session);
        timeout(self.settings.query_timeout_seconds, prepared)
            .await
            .map_err(|_| SupervisorError::Slow(self.settings.query_timeout_seconds))?
    }

    /// The server gives up a query that takes too long, and writes nothing for a read. Every read is of few rows by an
    /// index; plans that suit a table which was small a moment ago are left out.
    fn options(&self, config: &Config) -> String {
        let timeout = self.settings.query_timeout_seconds.as_millis().max(1);
        let given = config.get_options().unwrap_or_default();
        format!(
            "{given} -c statement_timeout={timeout} -c default_transaction_read_only=on -c jit=off \
             -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
        )
        .trim_start()
        .to_owned()
    }

    /// Offers the connection to queries until it fails. Gives the next one, if it was made already.
    async fn serve(&self, connected: Connected) -> Option<Connected> {
        let Connected {
            reader,
            mut driver,
            version,
        } = connected;
        tracing::info!(
            server = ?self.server,
            slot = self.index,
            schema_version = version,
            "connected to the database"
        );
        self.readiness.servable(version);
        self.publish(Some(Arc::clone(&reader)));
        let mut next = None;
        tokio::select! {
            () = driver.ended() => tracing::warn!(server = ?self.server, slot = self.index, "the database ended the connection"),
            () = reader.retired() => {}
            end = self.watch(&reader) => match end {
                Ok(connected) => next = Some(connected),
                Err(error) => self.note(&error),
            },
        }
        reader.retire();
        self.losses.fetch_add(1, Ordering::Relaxed);
        if next.is_none() {
            self.publish(None);
        }
        // What others have asked on it is answered before it ends, unless it answers nothing at all.
        let within = self.settings.query_timeout_seconds;
        if !reader.is_silent_for(within) {
            drop(reader);
            tokio::spawn(async move { timeout(within, driver.ended()).await });
        }
        next
    }

    fn publish(&self, reader: Option<Arc<Reader>>) {
        self.live.send_modify(|live| live[self.index] = reader);
    }

    /// Returns when the connection does not answer in time, or its schema cannot be served any longer; with the next one
    /// where that came about before.
    async fn watch(&self, reader: &Reader) -> Result<Connected, SupervisorError> {
        loop {
            sleep(HEARTBEAT).await;
            let within = self.settings.query_timeout_seconds;
            let asked = tokio::select! {
                asked = timeout(within, self.ask(reader)) => asked,
                connected = self.connect_beside(reader) => {
                    tracing::warn!(server = ?self.server, slot = self.index, "a connection to the database is silent; another is used");
                    return Ok(connected);
                }
            };
            match asked {
                Ok(Ok(schema)) => match schema.servable(self.server) {
                    Ok(version) => self.readiness.servable(version),
                    Err(error) => return Err(error.into()),
                },
                Ok(Err(error)) => return Err(SchemaError::Read(error).into()),
                Err(_) if reader.is_silent_for(within) => return Err(SupervisorError::Slow(within)),
                // Queries before it take long, and are answered.
                Err(_) => {}
            }
        }
    }

    /// The next connection, if this one says nothing for a while: the address may lead to another server by now, and what
    /// was sent to the one before is neither answered nor refused.
    async fn connect_beside(&self, reader: &Reader) -> Connected {
        sleep(OVERDUE).await;
        loop {
            if reader.is_silent_for(OVERDUE)
                && let Ok(connected) = self.connect().await
            {
                return connected;
            }
            sleep(BACKOFF.1).await;
        }
    }

    /// The schema; and of a standby which timeline it follows, so that a promotion is noticed also while nothing is read.
    async fn ask(&self, reader: &Reader) -> Result<Schema, tokio_postgres::Error> {
        if self.server == Server::Standby {
            position::note(reader.position().await?.as_ref(), &self.timelines);
        }
        reader.schema().await
    }

    /// Checks what kind of server it is and what its schema is, and prepares the statements. A primary is used until one on
    /// a newer timeline is seen; a standby says itself how far it is.
    async fn prepare(&self, mut session: Session) -> Result<Connected, SupervisorError> {
        let schema = Schema::read(&session.client).await?;
        if schema.standby && self.server == Server::Primary {
            self.timelines.refused_in_recovery();
        }
        let version = schema.servable(self.server)?;
        let timelines = (self.server == Server::Primary).then(|| self.timelines.clone());
        if let Some(timelines) = &timelines {
            session.admit(schema.origin, timelines)?;
        }
        let (client, driver) = session.split();
        let reader = Reader::prepare(client, schema.origin, timelines, &self.statements)
            .await
            .map_err(SupervisorError::Prepare)?;
        Ok(Connected {
            reader: Arc::new(reader),
            driver,
            version,
        })
    }
}
