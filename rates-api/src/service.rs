//! The state that every handler has.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::batches::{BatchSettings, Ingest, Lookup};
use crate::counters::RequestMetrics;
use crate::readers::Readers;
use crate::readiness::Readiness;
use crate::response_cache::ResponseCache;
use crate::server::Drain;
use crate::usage::Usage;

/// What handlers work with. Every request has a clone, so it is one reference.
#[derive(Clone)]
pub struct Service(Arc<Parts>);

pub struct Parts {
    pub readers: Arc<Readers>,
    pub response_cache: Arc<ResponseCache>,
    pub batches: Ingest,
    pub lookup: Arc<Lookup>,
    pub batch_settings: Arc<BatchSettings>,
    pub readiness: Arc<Readiness>,
    pub request_timeout: Duration,
    pub drain: Drain,
    pub requests: RequestMetrics,
    pub usage: Usage,
}

impl Service {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Service {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
