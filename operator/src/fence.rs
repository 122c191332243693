//! Refuses writes of a process whose lease is over, also of one that was frozen in the middle of a
//! reconcile and does not know yet.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

/// A write was refused because the lease is over.
#[derive(Debug, thiserror::Error)]
#[error("the lease is over, and another operator may lead")]
pub struct LeaseOver;

/// Until when this process may write; for ever as long as nobody has said. A layer for the client.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<Mutex<Option<Instant>>>);

impl Fence {
    /// The lease counts until then.
    pub fn set(&self, until: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    fn lets_pass<B>(&self, request: &Request<B>) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The lease itself is guarded by its version.
        let guarded = request.method() != Method::GET && !request.uri().path().contains("/leases/");
        !guarded || until.is_none_or(|until| Instant::now() < until)
    }
}

impl<S> Layer<S> for Fence {
    type Service = Fenced<S>;

    fn layer(&self, inner: S) -> Fenced<S> {
        Fenced {
            inner,
            fence: self.clone(),
        }
    }
}

#[derive(Clone)]
pub struct Fenced<S> {
    inner: S,
    fence: Fence,
}

impl<S, A, B> Service<Request<A>> for Fenced<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        if !self.fence.lets_pass(&request) {
            return Box::pin(async { Err(LeaseOver.into()) });
        }
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map_err(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn a_process_whose_lease_is_over_reads_and_no_longer_writes() {
        let fence = Fence::default();
        let passes = async |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            let server = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(())));
            fence.layer(server).oneshot(request).await.is_ok()
        };
        assert!(passes("PATCH", "/api/v1/namespaces/quay/secrets/a").await);
        fence.set(Instant::now() + Duration::from_mins(1));
        assert!(passes("PATCH", "/api/v1/namespaces/quay/secrets/a").await);
        fence.set(Instant::now());
        assert!(!passes("PATCH", "/api/v1/namespaces/quay/secrets/a").await);
        assert!(!passes("DELETE", "/api/v1/namespaces/quay/services/a").await);
        assert!(passes("GET", "/api/v1/namespaces/quay/secrets/a").await);
        let lease = "/apis/coordination.k8s.io/v1/namespaces/quay/leases/rates-operator";
        assert!(passes("PUT", lease).await);
    }
}
