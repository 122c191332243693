//! `/livez` and `/readyz` for the kubelet, the latter naming what is waited for, and `/metrics`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;
use crate::store::Store;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the operator is waiting for, if anything.
#[derive(Clone)]
pub struct Readiness(Arc<Mutex<Option<String>>>);

impl Readiness {
    #[must_use]
    pub fn waiting(what: &str) -> Self {
        Self(Arc::new(Mutex::new(Some(what.to_owned()))))
    }

    pub fn wait_for(&self, what: String) {
        self.set(Some(what));
    }

    pub fn ready(&self) {
        self.set(None);
    }

    fn set(&self, value: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is answered from.
#[derive(Clone)]
pub struct Sources {
    pub readiness: Readiness,
    pub metrics: Arc<Metrics>,
    /// Set once this process leads.
    pub store: Arc<OnceLock<Arc<Store>>>,
}

/// Answers until the process ends.
pub async fn serve(listener: TcpListener, sources: Sources) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(sources);
    axum::serve(listener, router).await
}

async fn ready(State(sources): State<Sources>) -> (StatusCode, String) {
    match sources.readiness.get() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {what}\n")),
    }
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let phases = sources
        .store
        .get()
        .map(|store| store.phases())
        .unwrap_or_default();
    match sources.metrics.text(&phases) {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
