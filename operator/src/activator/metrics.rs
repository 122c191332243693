//! What the activator tells of itself to Prometheus. docs/activator.md describes each.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::Process;

/// Seconds: a Preview wakes within a few.
const WAITS: [f64; 9] = [0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Ended {
    /// `forwarded`, `page`, or why it was answered here.
    result: &'static str,
}

/// Every metric that there is.
pub struct Metrics {
    registry: Registry,
    requests: Family<Ended, Counter>,
    held: Gauge,
    waits: Histogram,
    asked: Counter,
    environments: Gauge,
    process: Process,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            held: Gauge::default(),
            waits: Histogram::new(WAITS),
            asked: Counter::default(),
            environments: Gauge::default(),
            process: Process::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let own = self.process.register(&mut self.registry, "rates_activator");
        own.register(
            "requests",
            "Requests to environments that slept, by how they ended",
            self.requests.clone(),
        );
        own.register(
            "held_requests",
            "Requests that wait for their environment",
            self.held.clone(),
        );
        own.register_with_unit(
            "wait",
            "Time that forwarded requests waited for their environment",
            Unit::Seconds,
            self.waits.clone(),
        );
        own.register(
            "wake_requests",
            "How often an environment was asked to wake",
            self.asked.clone(),
        );
        own.register(
            "sleeping_environments",
            "Environments that have a port here",
            self.environments.clone(),
        );
    }

    pub fn ended(&self, result: &'static str) {
        self.requests.get_or_create(&Ended { result }).inc();
    }

    pub fn waited(&self, time: Duration) {
        self.waits.observe(time.as_secs_f64());
    }

    pub fn asked(&self) {
        self.asked.inc();
    }

    /// One request that waits, until this is dropped.
    pub fn hold(&self) -> Held {
        self.held.inc();
        Held(self.held.clone())
    }

    pub fn held(&self) -> i64 {
        self.held.get()
    }

    /// All of it in the text format of `OpenMetrics` 1.0.
    pub fn text(&self, environments: usize) -> Result<String, std::fmt::Error> {
        self.environments
            .set(i64::try_from(environments).unwrap_or(i64::MAX));
        self.process.refresh();
        let mut written = String::with_capacity(4 * 1024);
        text::encode(&mut written, &self.registry)?;
        Ok(written)
    }
}

/// A request that waits.
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}
