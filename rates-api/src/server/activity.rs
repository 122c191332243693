//! What a connection does, so that an idle one can be told.

use std::sync::Arc;

use http::Version;
use tokio::sync::watch;
use tokio::time::Instant;

use super::drain::{Drain, Phase};

#[derive(Clone, Copy)]
pub struct State {
    /// None before the first request.
    pub version: Option<Version>,
    /// Requests that are not answered yet.
    pub under_way: usize,
    /// When a request last came or was answered, or the client took some of an answer over HTTP/2.
    pub last: Instant,
}

/// Shared by a connection and its requests.
#[derive(Clone)]
pub struct Activity(Arc<Inner>);

struct Inner {
    state: watch::Sender<State>,
    drain: Drain,
}

impl Activity {
    pub fn new(drain: &Drain) -> Self {
        let state = State {
            version: None,
            under_way: 0,
            last: Instant::now(),
        };
        Self(Arc::new(Inner {
            state: watch::Sender::new(state),
            drain: drain.clone(),
        }))
    }

    pub fn now(&self) -> State {
        *self.0.state.borrow()
    }

    /// Changes are told only while the process drains: nobody waits for them before, and telling costs.
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    /// A request came; it is under way until the result is dropped.
    pub fn begin(&self, version: Version) -> UnderWay {
        self.change(|state| {
            state.version = Some(version);
            state.under_way += 1;
        });
        UnderWay(self.clone())
    }

    /// The client took some of an answer.
    pub fn took(&self) {
        self.change(|_| ());
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.0.state.send_if_modified(|state| {
            change(state);
            state.last = Instant::now();
            // Asked here, where nobody reads the state meanwhile: who reads it after the drain began is told of all
            // that comes after.
            self.0.drain.now() != Phase::Serving
        });
    }
}

/// A request until it is answered.
pub struct UnderWay(Activity);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.change(|state| state.under_way -= 1);
    }
}
