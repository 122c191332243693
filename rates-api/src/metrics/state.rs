//! What has a state: connections, batches, the drain. It is looked at when metrics are asked for.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::batches::{Backlog, Ingest, Lookup};
use crate::database;
use crate::readers::Readers;
use crate::readiness::{self, Readiness};
use crate::report::chain;
use crate::server::{Drain, Phase};
use crate::usage::Usage;

/// How long the database is asked; then what it knows is left out.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where it is looked.
pub struct Sources {
    pub readers: Arc<Readers>,
    pub batches: Ingest,
    pub batch_connections: database::Connections,
    pub lookup: Arc<Lookup>,
    pub readiness: Arc<Readiness>,
    pub drain: Drain,
    pub usage: Usage,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Connections {
    pool: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolName {
    pool: &'static str,
}

/// No labels.
type Alone = [(&'static str, &'static str); 0];

#[derive(Default)]
pub struct State {
    connections: Family<Connections, Gauge>,
    connections_limit: Family<PoolName, Gauge>,
    connections_waiting: Family<PoolName, Gauge>,
    in_flight: Gauge,
    limit: Gauge,
    waiting: Gauge,
    queued: Family<Alone, Gauge>,
    unfolded: Family<Alone, Gauge>,
    oldest_unfolded: Family<Alone, Gauge<f64, AtomicU64>>,
    ready: Gauge,
    drain: Gauge,
    idle: Gauge<f64, AtomicU64>,
}

impl State {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "database_connections",
            "Connections to the database; reads share theirs, all others are used by one at a time",
            self.connections.clone(),
        );
        registry.register(
            "database_connections_limit",
            "Connections to the database that there may be",
            self.connections_limit.clone(),
        );
        registry.register(
            "database_connections_waiting",
            "Requests and tasks that wait for a connection because all of the pool are in use",
            self.connections_waiting.clone(),
        );
        registry.register(
            "batches_in_flight",
            "Batches that this process is taking in",
            self.in_flight.clone(),
        );
        registry.register(
            "batches_limit",
            "Batches that this process takes in at once",
            self.limit.clone(),
        );
        registry.register(
            "batches_waiting",
            "Batches that wait for this process to take them in",
            self.waiting.clone(),
        );
        registry.register(
            "batches_queued",
            "Batches in the database that the release before answered with 202 and that are not decided yet; the same in every process",
            self.queued.clone(),
        );
        registry.register(
            "batches_unfolded",
            "Applied batches in the database whose sums reads still add; the same in every process",
            self.unfolded.clone(),
        );
        registry.register_with_unit(
            "batches_unfolded_oldest",
            "Time since the first of the batches that are not folded was applied; the same in every process",
            Unit::Seconds,
            self.oldest_unfolded.clone(),
        );
        registry.register(
            "ready",
            "1 if this process can serve, as /readyz says, else 0",
            self.ready.clone(),
        );
        registry.register(
            "drain_state",
            "0 while serving, 1 after SIGTERM, 2 once the listener is closed",
            self.drain.clone(),
        );
        registry.register_with_unit(
            "idle",
            "Time since the last request or batch ended or another program's session in the database was seen; 0 while there is one",
            Unit::Seconds,
            self.idle.clone(),
        );
    }

    /// Looks again.
    pub async fn refresh(&self, sources: &Sources) {
        for (pool, live, slots) in sources.readers.pools() {
            self.set_connections(pool, "shared", live);
            self.set_limit(pool, slots);
        }
        self.set_pool("batches", &sources.batch_connections);
        self.set_pool("lookup", sources.lookup.connections());
        self.set_pool("regions", sources.readers.expensive());
        let (in_flight, waiting) = sources.batches.under_way_and_waiting();
        self.in_flight.set(gauge(in_flight));
        self.waiting.set(gauge(waiting));
        self.limit.set(gauge(sources.batches.limit()));
        let ready = matches!(sources.readiness.state(), readiness::State::Ready(_));
        self.ready.set(i64::from(ready));
        self.drain.set(match sources.drain.now() {
            Phase::Serving => 0,
            Phase::Draining => 1,
            Phase::Closing => 2,
        });
        self.idle.set(sources.usage.idle().as_secs_f64());
        if let Some(backlog) = backlog(&sources.lookup).await {
            let Backlog {
                queued,
                unfolded,
                oldest_unfolded,
            } = backlog;
            self.oldest_unfolded.get_or_create(&[]).set(oldest_unfolded);
            self.queued.get_or_create(&[]).set(queued);
            self.unfolded.get_or_create(&[]).set(unfolded);
        } else {
            // No number is better than an old one.
            self.queued.clear();
            self.unfolded.clear();
            self.oldest_unfolded.clear();
        }
    }

    fn set_pool(&self, pool: &'static str, connections: &database::Connections) {
        let (used, open) = connections.used_and_open();
        self.set_connections(pool, "used", used);
        self.set_connections(pool, "idle", open - used);
        self.set_limit(pool, connections.limit());
        let waiting = gauge(connections.waiting());
        self.connections_waiting
            .get_or_create(&PoolName { pool })
            .set(waiting);
    }

    fn set_connections(&self, pool: &'static str, state: &'static str, number: usize) {
        let labels = Connections { pool, state };
        self.connections.get_or_create(&labels).set(gauge(number));
    }

    fn set_limit(&self, pool: &'static str, number: usize) {
        self.connections_limit
            .get_or_create(&PoolName { pool })
            .set(gauge(number));
    }
}

async fn backlog(lookup: &Lookup) -> Option<Backlog> {
    lookup
        .backlog(PATIENCE)
        .await
        .inspect_err(|error| tracing::debug!(error = chain(error), "the backlog is not known"))
        .ok()
}

fn gauge(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
