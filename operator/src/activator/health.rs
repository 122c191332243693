//! `/livez`, `/readyz` and `/metrics` of the activator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::hold::Holder;
use crate::health::OPEN_METRICS;

/// How far the activator is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Stage {
    /// The environments are not listed yet; all ports are open.
    Listing,
    Ready,
    Ending,
}

/// What it says of itself.
#[derive(Clone)]
pub struct Health {
    stage: Arc<AtomicU8>,
    holder: Arc<Holder>,
}

impl Health {
    pub fn new(holder: Arc<Holder>) -> Self {
        Self {
            stage: Arc::new(AtomicU8::new(Stage::Listing as u8)),
            holder,
        }
    }

    /// It only goes forward.
    pub fn set(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::Relaxed);
    }

    fn ready(&self) -> (StatusCode, &'static str) {
        let stage = self.stage.load(Ordering::Relaxed);
        if stage == Stage::Ready as u8 {
            (StatusCode::OK, "ready\n")
        } else if stage == Stage::Ending as u8 {
            (StatusCode::SERVICE_UNAVAILABLE, "ending\n")
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "waiting for the first list of environments\n",
            )
        }
    }
}

/// Answers until the process ends.
pub async fn serve(listener: TcpListener, health: Health) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route(
            "/readyz",
            get(async |State(health): State<Health>| health.ready()),
        )
        .route("/metrics", get(metrics))
        .with_state(health);
    axum::serve(listener, router).await
}

async fn metrics(State(health): State<Health>) -> Response {
    let holder = &health.holder;
    match holder.metrics.text(holder.environments.count()) {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
