//! What the operator knows of sleeping beside the objects of an environment: the activator's pods, which of its ports
//! are taken, and for how long environments were not in use. Kept in memory, and learnt anew after a restart.

mod activator;
mod idleness;
mod metrics_of_pods;
mod port_ring;

use std::time::Duration;

use crate::activator_ports::ActivatorPorts;
use crate::cache::{Cache, Key};
use crate::observed::Observed;
use crate::surroundings::{ActivatorPod, Surroundings};
use activator::{Known, Pods};
pub use activator::{LABEL, changes};
use idleness::Idleness;
use port_ring::PortRing;

/// Shared by all reconciles.
pub struct Sleeping {
    /// The operator's own namespace, where the activator runs; unknown where it runs outside of the cluster.
    namespace: Option<String>,
    pods: Pods,
    ring: PortRing,
    idleness: Idleness,
}

impl Sleeping {
    /// Before an environment that did not say enough is asked again; the pause grows.
    pub const ASK_AGAIN: Duration = Duration::from_secs(20);

    /// `first` says where in the range of ports it begins, `ask_again` is [`Self::ASK_AGAIN`].
    #[must_use]
    pub fn new(namespace: Option<String>, ports: ActivatorPorts, first: u64, ask_again: Duration) -> Self {
        Self {
            namespace,
            pods: Pods::default(),
            ring: PortRing::new(ports, first),
            idleness: Idleness::new(ask_again),
        }
    }

    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Takes note of the activator's pods; gives the environments for which that matters.
    pub fn put(&self, pods: Vec<ActivatorPod>, cache: &Cache) -> Vec<Key> {
        match self.pods.put(pods) {
            Known::Same => Vec::new(),
            Known::Others => cache.sleeping(),
            // Whether there are any decides whether others may fall asleep.
            Known::FirstOrNone => cache.environments(),
        }
    }

    /// What a reconcile of an environment, `NAMESPACE/NAME`, has to know; asks its API's pods if that is due.
    pub async fn look(&self, key: &str, observed: &Observed) -> Surroundings {
        Surroundings {
            operator_namespace: self.namespace.clone(),
            activator: self.pods.get(),
            idle: self.idleness.look(key, observed).await,
        }
    }

    /// After which time the environment is to be asked again for how long it was not in use.
    #[must_use]
    pub fn asks_after(&self, key: &str, observed: &Observed) -> Option<Duration> {
        self.idleness.asks_after(key, observed)
    }

    /// The port for an environment that sleeps: the one that it has, or the next free one; `None` if all are taken.
    #[must_use]
    pub fn port(&self, key: &str, has: Option<i32>, cache: &Cache) -> Option<i32> {
        let has = has.and_then(|port| u16::try_from(port).ok());
        self.ring
            .take(key, has, || cache.ports_but_of(key))
            .map(i32::from)
    }

    /// Takes note that an environment is awake.
    pub fn woke(&self, key: &str) {
        self.ring.release(key);
    }

    /// Takes note that an environment is gone.
    pub fn forget(&self, key: &str) {
        self.ring.release(key);
        self.idleness.forget(key);
    }
}
