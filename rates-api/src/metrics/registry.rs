//! Every metric by its name.

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::state::{Sources, State};
use crate::batches::BatchMetrics;
use crate::counters::RequestMetrics;

/// Every metric that there is.
pub struct Metrics {
    registry: Registry,
    state: State,
    sources: Sources,
}

impl Metrics {
    #[must_use]
    pub fn new(requests: &RequestMetrics, batches: &BatchMetrics, sources: Sources) -> Self {
        let mut registry = Registry::with_prefix("rates");
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The program's version", Info::new(version));
        requests.register(&mut registry);
        batches.register(&mut registry);
        sources.readers.standby_reads().register(&mut registry);
        sources.readers.timelines().register(&mut registry);
        let state = State::default();
        state.register(&mut registry);
        Self {
            registry,
            state,
            sources,
        }
    }

    /// All of it in the text format of `OpenMetrics` 1.0.
    ///
    /// # Errors
    /// As the encoder does, which writes to memory: never.
    pub async fn text(&self) -> Result<String, std::fmt::Error> {
        self.state.refresh(&self.sources).await;
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
