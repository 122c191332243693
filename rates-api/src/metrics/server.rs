//! `GET /metrics` on a listener of its own. It knows no drain: it is served to the end of the process.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::address::MetricsAddress;
use super::registry::Metrics;
use crate::server::{self, Drain, ServerSettings};

/// Whoever asks for metrics is one or two; whoever holds more connections than this is up to something else.
const MAX_CONNECTIONS: u32 = 32;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where metrics will be served.
pub struct MetricsServer(Option<TcpListener>);

impl MetricsServer {
    /// Listens there, unless it is off.
    ///
    /// # Errors
    /// When the address cannot be listened on: it, and why.
    pub async fn bind(address: MetricsAddress) -> Result<Self, (SocketAddr, std::io::Error)> {
        match address {
            MetricsAddress::Off => Ok(Self(None)),
            MetricsAddress::At(address) => match TcpListener::bind(address).await {
                Ok(listener) => Ok(Self(Some(listener))),
                Err(error) => Err((address, error)),
            },
        }
    }

    /// The address that it listens on, or `off`.
    #[must_use]
    pub fn address(&self) -> String {
        self.0
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
            .map_or_else(|| "off".to_owned(), |address| address.to_string())
    }
}

/// Serves metrics until the handle is dropped.
#[must_use]
pub fn serve(
    server: MetricsServer,
    metrics: Metrics,
    settings: &ServerSettings,
) -> Option<AbortOnDropHandle<()>> {
    let listener = server.0?;
    let settings = ServerSettings {
        max_connections: MAX_CONNECTIONS,
        ..settings.clone()
    };
    let router = Router::new()
        .route("/metrics", get(answer))
        .fallback(async || (StatusCode::NOT_FOUND, "Metrics are at /metrics.\n"))
        .with_state(Arc::new(metrics));
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        let never = std::future::pending();
        server::run(listener, router, &settings, &Drain::default(), never).await;
    })))
}

async fn answer(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.text().await {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
