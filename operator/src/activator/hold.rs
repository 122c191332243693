//! One request: held until its environment serves, then forwarded, or answered here.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::answer::{Problem, is_for_a_browser, page};
use super::environments::{Environments, Sleeper};
use super::forward::{connect, send};
use super::metrics::{Held, Metrics};
use super::settings::Limits;
use super::wake::{Refusal, Waker};

/// How long a request waits for this process to hear of an environment that has just fallen asleep.
const UNHEARD: Duration = Duration::from_secs(5);

/// What all requests share.
pub struct Holder {
    pub environments: Environments,
    pub waker: Waker,
    pub metrics: Arc<Metrics>,
    pub limits: Limits,
    /// Places for requests that wait.
    pub places: Arc<Semaphore>,
}

/// A request that waits, with its places.
struct Waiting {
    _held: Held,
    _places: [OwnedSemaphorePermit; 2],
}

impl Holder {
    /// Answers a request that came by a port.
    pub async fn answer(&self, port: u16, request: Request<Incoming>) -> Response<Body> {
        let began = Instant::now();
        let (method, browser) = (request.method().clone(), is_for_a_browser(&request));
        let Some(sleeper) = self.environments.at(port, began + UNHEARD).await else {
            return self.refuse(None, &method, &Problem::Unknown);
        };
        if method == Method::CONNECT {
            return self.refuse(Some(&sleeper), &method, &Problem::Connect);
        }
        if browser && let Some(page) = self.page(&sleeper) {
            return page;
        }
        match self.forward(&sleeper, request, began).await {
            Ok(response) => {
                let status = response.status().as_u16();
                tracing::info!(environment = %sleeper, %method, status, waited = ?began.elapsed(), "forwarded");
                self.metrics.ended("forwarded");
                response
            }
            Err(problem) => self.refuse(Some(&sleeper), &method, &problem),
        }
    }

    async fn forward(
        &self,
        sleeper: &Arc<Sleeper>,
        request: Request<Incoming>,
        began: Instant,
    ) -> Result<Response<Body>, Problem> {
        let deadline = began + self.limits.hold;
        let waiting = self.wait(sleeper)?;
        let endpoints = self
            .waker
            .wake(sleeper, deadline)
            .await
            .map_err(Problem::Refused)?;
        let Some(connection) = connect(&endpoints, deadline).await else {
            return Err(Problem::Refused(Refusal::Slow(None)));
        };
        drop(waiting);
        self.metrics.waited(began.elapsed());
        send(connection, request).await.map_err(|error| {
            tracing::warn!(environment = %sleeper, %error, "the API ended the connection");
            Problem::Interrupted
        })
    }

    /// Takes a place among those that wait.
    fn wait(&self, sleeper: &Sleeper) -> Result<Waiting, Problem> {
        let place = |places: &Arc<Semaphore>| places.clone().try_acquire_owned().map_err(|_| Problem::Full);
        Ok(Waiting {
            _places: [place(&sleeper.places)?, place(&self.places)?],
            _held: self.metrics.hold(),
        })
    }

    /// A page, unless the API answers already. It wakes the environment and holds nothing.
    fn page(&self, sleeper: &Arc<Sleeper>) -> Option<Response<Body>> {
        let state = sleeper.state().borrow().clone();
        if !state.endpoints.is_empty() || state.awake.is_some() || state.is_deleted {
            return None;
        }
        if !state.is_asked {
            self.waker.ask(sleeper, state.since);
        }
        self.metrics.ended("page");
        Some(page(&sleeper.name, state.failure.as_deref()))
    }

    fn refuse(&self, sleeper: Option<&Sleeper>, method: &Method, problem: &Problem) -> Response<Body> {
        let environment = sleeper.map(ToString::to_string).unwrap_or_default();
        tracing::warn!(environment, %method, why = problem.detail(), "refused");
        self.metrics.ended(problem.word());
        problem.response()
    }
}
