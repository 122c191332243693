//! `rates-api serve`: listens first, connects to the database beside it, and drains on SIGTERM.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::future::join;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::batches::{self, BatchMetrics, BatchSettings, Confirmations, Ingest, Lookup, background};
use crate::counters::RequestMetrics;
use crate::database::{DatabaseArguments, Primary, ReadArguments};
use crate::duration::seconds;
use crate::metrics::{Metrics, MetricsAddress, MetricsServer, Sources, serve as serve_metrics};
use crate::places;
use crate::rates;
use crate::readers::{ReaderSettings, Readers};
use crate::readiness::Readiness;
use crate::response_cache::{ResponseCache, ResponseCacheSettings};
use crate::router;
use crate::server::{self, Drain, ServerSettings};
use crate::service::{Parts, Service};
use crate::usage::{Usage, UsageSettings, sessions};

#[derive(Args)]
pub struct ServeSettings {
    /// The address to serve HTTP/1.1 and HTTP/2 (with prior knowledge) on
    #[arg(
        long,
        env = "RATES_LISTEN",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,

    /// The address to serve Prometheus metrics on, at /metrics, apart from all else; or `off`
    #[arg(
        long,
        env = "RATES_METRICS_LISTEN",
        default_value = "0.0.0.0:9090",
        value_name = "ADDRESS"
    )]
    pub metrics_listen: MetricsAddress,

    #[command(flatten)]
    pub database: DatabaseArguments,

    #[command(flatten)]
    pub database_read: ReadArguments,

    /// Seconds that a request may wait for the database before it is answered with 503
    #[arg(
        long,
        env = "RATES_REQUEST_TIMEOUT_SECONDS",
        default_value = "15",
        value_parser = seconds,
        value_name = "SECONDS"
    )]
    pub request_timeout_seconds: Duration,

    #[command(flatten)]
    pub readers: ReaderSettings,

    #[command(flatten)]
    pub response_cache: ResponseCacheSettings,

    #[command(flatten)]
    pub batches: BatchSettings,

    #[command(flatten)]
    pub server: ServerSettings,

    #[command(flatten)]
    pub usage: UsageSettings,
}

/// A batch has one connection from its claim to its end; on another one its lease is renewed, and what was given up is
/// settled.
const CONNECTIONS_PER_BATCH: usize = 2;
/// One for folding, and one for clearing.
const CONNECTIONS_IN_BACKGROUND: usize = 2;

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot make a pool of connections")]
    Pool(#[source] deadpool::managed::BuildError),
    #[error("cannot handle signals")]
    Signal(#[source] std::io::Error),
}

/// A container's soft limit of open files is often 1,024; each connection is one, so the hard limit is asked for.
fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// What tells of batches, and what it tells by.
fn confirmed_lookup(
    primary: &Primary,
    patience: Duration,
) -> Result<(Arc<Confirmations>, Arc<Lookup>), deadpool::managed::BuildError> {
    let confirmations = Arc::new(Confirmations::start(primary)?);
    let lookup = Lookup::new(primary, Arc::clone(&confirmations), patience)?;
    Ok((confirmations, Arc::new(lookup)))
}

/// Listens before anything else is begun.
async fn listen(settings: &ServeSettings) -> Result<(TcpListener, MetricsServer), ServeError> {
    let address = settings.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Listen { address, source })?;
    let metrics_server = MetricsServer::bind(settings.metrics_listen)
        .await
        .map_err(|(address, source)| ServeError::Listen { address, source })?;
    tracing::info!(
        address = %listener.local_addr().unwrap_or(address),
        metrics = metrics_server.address(),
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
    Ok((listener, metrics_server))
}

/// Serves until SIGTERM or SIGINT, and until what was under way then is answered.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn run(settings: ServeSettings) -> Result<(), ServeError> {
    raise_open_files();
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signal)?;
    let (listener, metrics_server) = listen(&settings).await?;

    let drain = Drain::default();
    let readiness = Arc::new(Readiness::default());
    let primary = Primary::new(settings.database.address());
    let readers = Readers::start(
        &primary,
        settings.database_read.address().as_ref(),
        &settings.readers,
        &[rates::STATEMENTS.as_slice(), &places::STATEMENTS].concat(),
        settings.request_timeout_seconds,
        &readiness,
    );
    let readers = Arc::new(readers.map_err(ServeError::Pool)?);
    let work = Arc::new(Notify::new());
    let batch_connections = batches::connections(
        &primary,
        CONNECTIONS_PER_BATCH * usize::from(settings.batches.max_batches) + CONNECTIONS_IN_BACKGROUND,
        settings.batches.max_batch_seconds,
    )
    .map_err(ServeError::Pool)?;
    let (confirmations, lookup) =
        confirmed_lookup(&primary, settings.request_timeout_seconds).map_err(ServeError::Pool)?;
    let batch_metrics = BatchMetrics::default();
    let stopping = CancellationToken::new();
    let requests = RequestMetrics::new(router::paths());
    let usage = Usage::new(&settings.usage);
    let background = tokio::spawn(join(
        background::run(
            batch_connections.clone(),
            settings.batches.clone(),
            Arc::clone(&work),
            batch_metrics.clone(),
            stopping.clone(),
        ),
        sessions::watch(batch_connections.clone(), usage.clone(), stopping.clone()),
    ));
    let batches = Ingest::new(
        batch_connections.clone(),
        confirmations,
        &settings.batches,
        settings.request_timeout_seconds,
        Arc::clone(&work),
        batch_metrics.clone(),
    );
    let sources = Sources {
        readers: Arc::clone(&readers),
        batches: batches.clone(),
        batch_connections,
        lookup: Arc::clone(&lookup),
        readiness: Arc::clone(&readiness),
        drain: drain.clone(),
        usage: usage.clone(),
    };
    let _metrics = serve_metrics(
        metrics_server,
        Metrics::new(&requests, &batch_metrics, sources),
        &settings.server,
    );
    let service = Service::new(Parts {
        batches: batches.clone(),
        lookup,
        batch_settings: Arc::new(settings.batches.clone()),
        response_cache: Arc::new(ResponseCache::start(&settings.response_cache, &readers)),
        readers,
        readiness,
        request_timeout: settings.request_timeout_seconds,
        drain: drain.clone(),
        requests,
        usage,
    });
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        batches.end_by(Instant::now() + settings.server.drain_seconds);
    };
    let deadline = server::run(listener, router::router(service), &settings.server, &drain, stop).await;
    // A batch whose client went away after its last byte is finished all the same.
    if timeout_at(deadline, batches.finished()).await.is_err() {
        tracing::warn!("the deadline ends batches that are not finished");
    }
    stopping.cancel();
    if timeout_at(deadline, background).await.is_err() {
        tracing::warn!("the deadline ends background work that is not finished");
    }
    tracing::info!("stopped");
    Ok(())
}
