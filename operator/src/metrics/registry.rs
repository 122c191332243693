//! Every metric, and how it is counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::process::Process;

/// Seconds: a look at what is settled takes milliseconds, making an environment some tenths.
const DURATIONS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// There was nothing to write, the status aside.
    Settled,
    Wrote,
    Failed,
    /// There is no such environment any more.
    Gone,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Result {
    result: Outcome,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfKind {
    kind: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct InPhase {
    phase: String,
}

/// `namespace` would be that of the operator's own pod in Prometheus.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfEnvironment {
    environment_namespace: String,
    environment: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Request {
    verb: String,
    kind: String,
    /// The status of the answer, or `none`.
    code: String,
}

/// Every metric that there is.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Result, Counter>,
    durations: Histogram,
    depth: Gauge,
    in_flight: Gauge,
    requests: Family<Request, Counter>,
    watch_failures: Family<OfKind, Counter>,
    lists: Family<OfKind, Counter>,
    followed: Family<OfKind, Gauge>,
    malformed: Family<OfKind, Gauge>,
    leading: Gauge,
    environments: Family<InPhase, Gauge>,
    instances: Family<OfEnvironment, Gauge>,
    process: Process,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            reconciles: Family::default(),
            durations: Histogram::new(DURATIONS),
            depth: Gauge::default(),
            in_flight: Gauge::default(),
            requests: Family::default(),
            watch_failures: Family::default(),
            lists: Family::default(),
            followed: Family::default(),
            malformed: Family::default(),
            leading: Gauge::default(),
            environments: Family::default(),
            instances: Family::default(),
            process: Process::default(),
        };
        for result in [Outcome::Settled, Outcome::Wrote, Outcome::Failed, Outcome::Gone] {
            // Also what has not happened yet is told.
            drop(metrics.reconciles.get_or_create(&Result { result }));
        }
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let own = self.process.register(&mut self.registry, "rates_operator");
        own.register(
            "reconciles",
            "Looks at one environment, by how they ended",
            self.reconciles.clone(),
        );
        own.register_with_unit(
            "reconcile_duration",
            "Time that one look at an environment took",
            Unit::Seconds,
            self.durations.clone(),
        );
        own.register(
            "queue_depth",
            "Environments that are due and wait for their turn",
            self.depth.clone(),
        );
        own.register(
            "reconciles_in_flight",
            "Environments that are being looked at",
            self.in_flight.clone(),
        );
        own.register(
            "api_requests",
            "Requests to the Kubernetes API that were answered",
            self.requests.clone(),
        );
        own.register(
            "watch_failures",
            "Lists and watches that failed and were begun again",
            self.watch_failures.clone(),
        );
        own.register(
            "lists",
            "Complete lists of a kind: more than one means that a watch had lost its place",
            self.lists.clone(),
        );
        own.register(
            "kind_followed",
            "1 while the list and the watch of a kind work",
            self.followed.clone(),
        );
        own.register(
            "malformed_objects",
            "Objects of the operator that it cannot understand",
            self.malformed.clone(),
        );
        own.register(
            "leading",
            "1 while this process holds the lease, or needs none",
            self.leading.clone(),
        );
        own.register(
            "environments",
            "Environments by the phase in their status",
            self.environments.clone(),
        );
        own.register(
            "database_instances",
            "How many instances of an environment's database there are to be now",
            self.instances.clone(),
        );
    }

    pub fn reconciled(&self, result: Outcome, took: Duration) {
        self.reconciles.get_or_create(&Result { result }).inc();
        self.durations.observe(took.as_secs_f64());
    }

    pub fn requested(&self, verb: String, kind: String, code: String) {
        self.requests.get_or_create(&Request { verb, kind, code }).inc();
    }

    pub fn queue(&self, depth: usize, in_flight: usize) {
        self.depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
        self.in_flight.set(i64::try_from(in_flight).unwrap_or(i64::MAX));
    }

    pub fn watch_failed(&self, kind: &str) {
        let kind = kind.to_owned();
        self.watch_failures.get_or_create(&OfKind { kind }).inc();
    }

    pub fn listed(&self, kind: &str) {
        let kind = kind.to_owned();
        self.lists.get_or_create(&OfKind { kind }).inc();
    }

    pub fn follows(&self, kind: &str, works: bool) {
        let kind = kind.to_owned();
        self.followed
            .get_or_create(&OfKind { kind })
            .set(i64::from(works));
    }

    pub fn malformed(&self, kind: &str, objects: usize) {
        let kind = kind.to_owned();
        let objects = i64::try_from(objects).unwrap_or(i64::MAX);
        self.malformed.get_or_create(&OfKind { kind }).set(objects);
    }

    pub fn leads(&self) {
        self.leading.set(1);
    }

    /// What only who leads can say is taken back.
    pub fn leads_no_longer(&self) {
        self.leading.set(0);
        self.queue(0, 0);
        self.followed.clear();
        self.malformed.clear();
    }

    /// All of it in the text format of `OpenMetrics` 1.0; `phases` are those of the environments, `instances` how many each
    /// one's database is to have, by `NAMESPACE/NAME`.
    pub fn text(
        &self,
        phases: &BTreeMap<String, usize>,
        instances: &[(Arc<str>, u8)],
    ) -> std::result::Result<String, std::fmt::Error> {
        self.environments.clear();
        for (phase, count) in phases {
            let phase = phase.clone();
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.environments.get_or_create(&InPhase { phase }).set(count);
        }
        self.instances.clear();
        for (key, instances) in instances {
            let Some((namespace, name)) = key.split_once('/') else {
                continue;
            };
            let environment = OfEnvironment {
                environment_namespace: namespace.to_owned(),
                environment: name.to_owned(),
            };
            self.instances
                .get_or_create(&environment)
                .set((*instances).into());
        }
        self.process.refresh();
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
