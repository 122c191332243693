//! Connections: accepted, served within bounds, and ended so that no request is lost.
//!
//! A connection that is idle for too long ends, over HTTP/1 and HTTP/2 alike.
//!
//! On SIGTERM the server goes on as before, but ends each connection after its next answer,
//! or after the answers to all that its client has sent already. It closes the listener
//! once no request has come for a moment: in Kubernetes the pod left the Service's endpoints before SIGTERM. Then it
//! ends the connections that are idle, waits for those that are not, and at the deadline ends all.

mod activity;
mod connection;
mod drain;
mod linger;
mod path;
mod pieces;
mod pipeline;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use drain::{Drain, Phase};
pub use settings::ServerSettings;

/// The head of a request: bytes and fields.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
/// Requests that one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 256;
/// A peer that takes no bytes for this long is gone.
const STALLED: Duration = Duration::from_secs(30);

/// Serves until `stop`, then drains. Gives the deadline of the drain.
pub async fn run(
    listener: TcpListener,
    router: Router,
    settings: &ServerSettings,
    drain: &Drain,
    stop: impl Future<Output = ()>,
) -> Instant {
    let server = Server::new(router, settings, drain);
    tokio::select! {
        () = server.accept(&listener) => {}
        () = stop => {}
    }
    let deadline = Instant::now() + settings.drain_seconds;
    tracing::info!(connections = server.tasks.len(), "draining");
    drain.begin(settings.drain_seconds);
    tokio::select! {
        () = server.accept(&listener) => {}
        () = drain.quiet(settings.drain_quiet_seconds) => {}
        () = sleep(settings.drain_seconds / 2) => {}
    }
    server.accept_pending(&listener).await;
    drop(listener);
    tracing::info!(connections = server.tasks.len(), "the listener is closed");
    drain.close();
    server.tasks.close();
    if timeout_at(deadline, server.tasks.wait()).await.is_err() {
        tracing::warn!(
            connections = server.tasks.len(),
            "the deadline ends connections that are still open"
        );
        server.end.cancel();
        server.tasks.wait().await;
    }
    deadline
}

struct Server {
    router: Router,
    builder: auto::Builder<TokioExecutor>,
    settings: ServerSettings,
    drain: Drain,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Server {
    fn new(router: Router, settings: &ServerSettings, drain: &Drain) -> Self {
        Self {
            router,
            builder: builder(),
            settings: settings.clone(),
            drain: drain.clone(),
            slots: Arc::new(Semaphore::new(settings.max_connections as usize)),
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
        }
    }

    /// Accepts for ever.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => self.serve(stream, slot),
                Err(error) => {
                    // Out of descriptors, or a connection that went away before it was accepted.
                    tracing::warn!(%error, "cannot accept a connection");
                    drop(slot);
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// Takes what the kernel has accepted already: closing the listener would reset it.
    async fn accept_pending(&self, listener: &TcpListener) {
        while let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            tokio::select! {
                biased;
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.serve(stream, slot),
                    Err(_) => return,
                },
                () = std::future::ready(()) => return,
            }
        }
    }

    fn serve(&self, stream: TcpStream, slot: tokio::sync::OwnedSemaphorePermit) {
        let _ = stream.set_nodelay(true);
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(STALLED));
        let connection = connection::serve(
            stream,
            self.router.clone(),
            self.builder.clone(),
            self.drain.clone(),
            self.settings.clone(),
            self.end.clone(),
        );
        self.tasks.spawn(async move {
            connection.await;
            drop(slot);
        });
    }
}

/// hyper's own time-outs are not used for what is idle: `connection` has one for both versions.
fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .half_close(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
