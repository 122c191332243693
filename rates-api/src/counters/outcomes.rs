//! A counter for each outcome of something.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Outcomes(Family<Outcome, Counter>);

impl Outcomes {
    /// Each is there from the beginning, so that its first increase is seen.
    #[must_use]
    pub fn of(outcomes: &[&'static str]) -> Self {
        let family = Family::default();
        for &outcome in outcomes {
            drop(family.get_or_create(&Outcome { outcome }));
        }
        Self(family)
    }

    pub fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, self.0.clone());
    }

    pub fn count(&self, outcome: &'static str) {
        self.0.get_or_create(&Outcome { outcome }).inc();
    }

    #[cfg(test)]
    #[must_use]
    pub fn get(&self, outcome: &'static str) -> u64 {
        self.0.get_or_create(&Outcome { outcome }).get()
    }
}
