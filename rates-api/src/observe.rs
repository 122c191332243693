//! What is done for every request: it gets an id, is counted, and has one line in the log.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tracing::{Instrument as _, Span};

use crate::problem::Problem;
use crate::service::Service;
use crate::trace::{self, TraceParent};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// No answer is given again by a cache that has not asked whether it still holds.
const ASK_FIRST: HeaderValue = HeaderValue::from_static("no-cache");

/// Gives every request an id, counts it and logs it with its outcome, and turns a panic into a 500.
pub async fn request(State(service): State<Service>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let is_probe_of_ours = is_probe(request.uri().path());
    let _under_way = (!is_probe_of_ours).then(|| service.drain.count());
    let is_use = !is_probe_of_ours && !service.usage.is_monitor(request.headers());
    let _in_use = is_use.then(|| service.usage.begin());
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let in_flight = service.requests.begin(request.method(), route);
    let method = request.method().clone();
    let route = in_flight.route();
    let id = request_id(request.headers().get(REQUEST_ID));

    let span = span(&id, request.headers());
    let handled = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let mut response = handled.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("a handler panicked"));
        Problem::internal().into_response()
    });

    let (status, duration) = (response.status().as_u16(), started.elapsed());
    in_flight.answered(status, duration);
    span.in_scope(|| log(&method, route, status, duration));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, ASK_FIRST);
    headers.insert(REQUEST_ID, id);
    response
}

/// What every line of the request's log has: its id, and its trace if it belongs to one.
fn span(id: &HeaderValue, headers: &HeaderMap) -> Span {
    let request_id = id.to_str().unwrap_or_default();
    if let Some(TraceParent { trace_id, parent_id }) = trace::of(headers) {
        tracing::info_span!("request", request_id, trace_id, parent_id)
    } else {
        tracing::info_span!("request", request_id)
    }
}

/// Kubernetes asks these every second, to the end of the process: they are no traffic that a drain waits for.
fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// Probes come every second and say little: they are logged for those who debug.
fn log(method: &Method, route: &str, status: u16, duration: Duration) {
    let milliseconds = duration.as_secs_f64() * 1000.0;
    if is_probe(route) {
        tracing::debug!(target: "rates_api::access", %method, route, status, milliseconds, "answered");
    } else {
        tracing::info!(target: "rates_api::access", %method, route, status, milliseconds, "answered");
    }
}

/// The caller's id if it is a harmless word of at most 128 characters, else a new one.
fn request_id(given: Option<&HeaderValue>) -> HeaderValue {
    let harmless = |value: &&HeaderValue| {
        (1..=128).contains(&value.len())
            && value
                .as_bytes()
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte))
    };
    given.filter(harmless).cloned().unwrap_or_else(new_id)
}

/// Unique among processes by a random start, within one by a count.
fn new_id() -> HeaderValue {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let number = u128::from(*PROCESS) << 64 | u128::from(count);
    let digits: [u8; 32] =
        std::array::from_fn(|place| b"0123456789abcdef"[(number >> (124 - 4 * place)) as usize & 15]);
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_id_is_kept_when_it_is_harmless() {
        let given = HeaderValue::from_static("abc-123_X.y");
        assert_eq!(request_id(Some(&given)), given);
    }

    #[test]
    fn a_missing_odd_or_long_id_is_replaced_by_a_new_one() {
        let long = HeaderValue::from_str(&"x".repeat(129)).unwrap();
        let odd = [
            HeaderValue::from_static(""),
            HeaderValue::from_static("a b\"c"),
            long,
        ];
        for given in odd.iter().map(Some).chain([None]) {
            let id = request_id(given);
            assert_ne!(Some(&id), given);
            assert_eq!(id.len(), 32);
        }
        assert_ne!(request_id(None), request_id(None));
    }
}
