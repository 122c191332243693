//! A client that dies: the API server does what it is asked, and the answer arrives nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use kube::client::Body;
use tower::{BoxError, Service};

/// How many writes are left to an operator; with the answer to the last, it is dead.
pub struct Life {
    pub writes_left: AtomicI64,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            writes_left: AtomicI64::new(i64::MAX),
        }
    }
}

#[derive(Clone)]
pub struct Mortal<S> {
    pub inner: S,
    pub life: Arc<Life>,
}

impl<S, B> Service<http::Request<Body>> for Mortal<S>
where
    S: Service<http::Request<Body>, Response = http::Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let left = if is_write(&request) {
            self.life.writes_left.fetch_sub(1, Ordering::SeqCst) - 1
        } else {
            self.life.writes_left.load(Ordering::SeqCst)
        };
        if left < 0 {
            return Box::pin(async { Err("dead".into()) });
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into)?;
            if left == 0 { Err("died".into()) } else { Ok(answer) }
        })
    }
}

/// Events tell, they change nothing.
pub fn is_write(request: &http::Request<Body>) -> bool {
    request.method() != http::Method::GET && !request.uri().path().contains("/events")
}
