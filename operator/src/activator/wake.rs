//! Asks for an environment to wake, and waits until it serves.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::environments::Sleeper;
use super::metrics::Metrics;
use super::watched::Watched;
use crate::crd::RatesEnvironment;
use crate::error_chain::chain;

/// The field manager of the one field that the activator writes.
const MANAGER: &str = "rates-activator";
/// How long the API server may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(500);
const TRIES: u32 = 20;

/// Why a request cannot be forwarded.
#[derive(Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The environment's own words.
    CannotStart(String),
    /// With its place, where the environment waits until it may run.
    Slow(Option<String>),
    Deleted,
    /// It woke before this process knew where its API answers.
    Awake,
}

/// What asks.
#[derive(Clone)]
pub struct Waker {
    pub client: Client,
    pub metrics: Arc<Metrics>,
}

impl Waker {
    /// Has the environment woken, and gives the addresses of its API once it is ready.
    pub async fn wake(&self, sleeper: &Arc<Sleeper>, deadline: Instant) -> Result<Vec<SocketAddr>, Refusal> {
        let mut state = sleeper.state();
        loop {
            let now = state.borrow_and_update().clone();
            if now.is_deleted {
                return Err(Refusal::Deleted);
            }
            if !now.endpoints.is_empty() {
                return Ok(now.endpoints);
            }
            if now.awake.is_some() {
                return Err(Refusal::Awake);
            }
            if let Some(reason) = now.failure {
                return Err(Refusal::CannotStart(reason));
            }
            if !now.is_asked {
                self.ask(sleeper, now.since);
            }
            match timeout_at(deadline, state.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Refusal::Deleted),
                Err(_) => return Err(Refusal::Slow(now.place)),
            }
        }
    }

    /// Asks once for each sleep, beside the requests: who goes away does not take the question along.
    pub fn ask(&self, sleeper: &Arc<Sleeper>, since: String) {
        let mut asked = sleeper.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.as_ref() == Some(&since) {
            return;
        }
        *asked = Some(since.clone());
        drop(asked);
        let (waker, sleeper) = (self.clone(), sleeper.clone());
        tokio::spawn(async move {
            if !waker.ask_until_heard(&sleeper, &since).await {
                // The next request asks again.
                *sleeper.asked.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
        });
    }

    async fn ask_until_heard(&self, sleeper: &Sleeper, since: &str) -> bool {
        let api: Api<Watched> = Api::namespaced(self.client.clone(), &sleeper.namespace);
        let patch = Patch::Apply(json!({
            "apiVersion": RatesEnvironment::api_version(&()),
            "kind": RatesEnvironment::kind(&()),
            // An environment created under the name meanwhile is not meant.
            "metadata": {"name": sleeper.name, "uid": sleeper.uid},
            "status": {"wakeRequest": since},
        }));
        let parameters = PatchParams::apply(MANAGER).force();
        for _ in 0..TRIES {
            let error = match timeout(ANSWER, api.patch_status(&sleeper.name, &parameters, &patch)).await {
                Ok(Ok(_)) => {
                    self.metrics.asked();
                    tracing::info!(environment = %sleeper, since, "a request wakes the environment");
                    return true;
                }
                // Deleted, or deleted and created anew.
                Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => return false,
                Ok(Err(error)) => chain(&error),
                Err(_) => "the API server did not answer in time".to_owned(),
            };
            tracing::warn!(environment = %sleeper, error, "cannot ask for the environment to wake, and try again");
            sleep(AGAIN).await;
        }
        false
    }
}
