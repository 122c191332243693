//! The index of what is served. Everything that is not here is 404, or 405 with the methods that are.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use http::StatusCode;

use crate::batches::{BatchSettings, Receiver};
use crate::observe;
use crate::problem::Problem;
use crate::readers::Readers;
use crate::readiness::Readiness;
use crate::routes;
use crate::server::Drain;

/// What handlers work with.
#[derive(Clone)]
pub struct Service {
    pub readers: Arc<Readers>,
    pub batches: Receiver,
    pub batch_settings: Arc<BatchSettings>,
    pub readiness: Arc<Readiness>,
    pub request_timeout: Duration,
    pub drain: Drain,
}

pub fn router(service: Service) -> Router {
    let drain = service.drain.clone();
    Router::new()
        .route("/", get(routes::root::get))
        .route("/rates", get(routes::rates::get))
        .route("/batches", get(routes::batches::list).post(routes::batches::post))
        .route("/batches/{id}", get(routes::batches::get))
        .route("/ports", get(routes::places::ports))
        .route("/regions", get(routes::places::regions))
        .route("/healthz", get(routes::healthz::get))
        .route("/readyz", get(routes::readyz::get))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "There is nothing at this path."))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "The header Allow lists the methods of this path.",
            )
        })
        .layer(middleware::from_fn_with_state(drain, Drain::announce))
        .layer(middleware::from_fn(observe::request))
        .with_state(service)
}
