//! The index of what is served. Everything that is not here is 404, or 405 with the methods that are.

use axum::Router;
use axum::middleware;
use axum::routing::{MethodRouter, get};

use crate::observe;
use crate::problem::{Problem, ProblemType};
use crate::routes;
use crate::service::Service;

/// What is answered, by the template of its path. HEAD is answered as GET is.
fn index() -> Vec<(&'static str, MethodRouter<Service>)> {
    vec![
        ("/", get(routes::root::get)),
        ("/rates", get(routes::rates::get)),
        ("/batches", get(routes::batches::list).post(routes::batches::post)),
        ("/batches/{id}", get(routes::batches::get)),
        ("/ports", get(routes::places::ports)),
        ("/regions", get(routes::places::regions)),
        ("/openapi.json", get(routes::openapi::get)),
        ("/docs", get(routes::docs::get)),
        ("/healthz", get(routes::healthz::get)),
        ("/readyz", get(routes::readyz::get)),
    ]
}

/// The templates of all paths.
#[must_use]
pub fn paths() -> Vec<&'static str> {
    index().into_iter().map(|(path, _)| path).collect()
}

pub fn router(service: Service) -> Router {
    index()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
        .fallback(async || Problem::new(ProblemType::UnknownPath, "There is nothing at this path."))
        .method_not_allowed_fallback(async || {
            Problem::new(
                ProblemType::MethodNotAllowed,
                "The header Allow lists the methods of this path.",
            )
        })
        .layer(middleware::from_fn_with_state(service.clone(), observe::request))
        .with_state(service)
}
