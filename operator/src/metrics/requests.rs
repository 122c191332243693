//! Counts the client's requests by verb, kind and answer.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use kube::client::Body;
use tower::{Layer, Service};

use super::registry::Metrics;

/// A layer for the client.
#[derive(Clone)]
pub struct CountRequests(pub Arc<Metrics>);

impl<S> Layer<S> for CountRequests {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Counting<S> {
        Counting {
            inner,
            metrics: self.0.clone(),
        }
    }
}

#[derive(Clone)]
pub struct Counting<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S, B> Service<http::Request<Body>> for Counting<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (verb, kind) = verb_and_kind(&request);
        let metrics = self.metrics.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code = match &answer {
                Ok(answer) => answer.status().as_u16().to_string(),
                Err(_) => "none".to_owned(),
            };
            metrics.requested(verb, kind, code);
            answer
        })
    }
}

/// The verb as the API server's own metrics name it, and the kind's plural, with its subresource.
fn verb_and_kind<B>(request: &http::Request<B>) -> (String, String) {
    let uri = request.uri();
    let mut path = uri.path().split('/').skip(1);
    // `/api/VERSION/…` or `/apis/GROUP/VERSION/…`.
    let before = if path.next() == Some("api") { 1 } else { 2 };
    let mut path = path.skip(before).peekable();
    if path.next_if_eq(&"namespaces").is_some() {
        path.next();
    }
    let kind = path.next().unwrap_or("other").to_owned();
    let name = path.next();
    let query = uri.query().unwrap_or_default();
    let verb = match request.method().as_str() {
        "GET" if query.split('&').any(|pair| pair == "watch=true") => "WATCH",
        "GET" if name.is_none() => "LIST",
        "PATCH" if query.contains("fieldManager=") => "APPLY",
        method => method,
    };
    let kind = path
        .next()
        .map_or(kind.clone(), |subresource| format!("{kind}/{subresource}"));
    (verb.to_owned(), kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_as_the_api_server_names_them() {
        let named = |method: &str, uri: &str| {
            let request = http::Request::builder().method(method).uri(uri).body(());
            let (verb, kind) = verb_and_kind(&request.unwrap());
            format!("{verb} {kind}")
        };
        assert_eq!(named("GET", "/api/v1/namespaces/quay/pods/a?"), "GET pods");
        assert_eq!(named("GET", "/api/v1/pods?&limit=9"), "LIST pods");
        let watch = "/apis/apps/v1/deployments?&watch=true&resourceVersion=1";
        assert_eq!(named("GET", watch), "WATCH deployments");
        let status =
            "/apis/rates.internal/v1alpha1/namespaces/quay/ratesenvironments/a/status?&fieldManager=x";
        assert_eq!(named("PATCH", status), "APPLY ratesenvironments/status");
        assert_eq!(named("POST", "/apis/batch/v1/namespaces/quay/jobs"), "POST jobs");
    }
}
