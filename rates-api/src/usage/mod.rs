//! When this process was last in use: what is asked before an environment is put to sleep.
//!
//! Requests and batches are use, and so are other programs' sessions in the database ([`sessions`]). Probes are not,
//! and neither are requests of the monitors that the settings name.

pub mod sessions;
mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::USER_AGENT;

pub use settings::UsageSettings;

/// Cheap to clone.
#[derive(Clone)]
pub struct Usage(Arc<Inner>);

struct Inner {
    monitors: Vec<String>,
    started: Instant,
    /// Requests and batches.
    under_way: AtomicUsize,
    /// When the last use ended, in milliseconds since the start.
    last: AtomicU64,
}

impl Usage {
    /// The start of the process counts as use.
    #[must_use]
    pub fn new(settings: &UsageSettings) -> Self {
        let given = |prefix: &&String| !prefix.is_empty();
        Self(Arc::new(Inner {
            monitors: settings.idle_user_agents.iter().filter(given).cloned().collect(),
            started: Instant::now(),
            under_way: AtomicUsize::new(0),
            last: AtomicU64::new(0),
        }))
    }

    /// Whether the request is of a monitor.
    #[must_use]
    pub fn is_monitor(&self, headers: &HeaderMap) -> bool {
        if self.0.monitors.is_empty() {
            return false;
        }
        let Some(agent) = headers.get(USER_AGENT) else {
            return false;
        };
        let mut monitors = self.0.monitors.iter();
        monitors.any(|prefix| agent.as_bytes().starts_with(prefix.as_bytes()))
    }

    /// The process is in use until the result is dropped.
    #[must_use]
    pub fn begin(&self) -> InUse {
        self.0.under_way.fetch_add(1, Ordering::SeqCst);
        InUse(self.clone())
    }

    /// It is in use at this moment.
    pub fn now(&self) {
        let since = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.fetch_max(since, Ordering::SeqCst);
    }

    /// For how long it has not been in use.
    #[must_use]
    pub fn idle(&self) -> Duration {
        // In this order: who ends first says when.
        if self.0.under_way.load(Ordering::SeqCst) > 0 {
            return Duration::ZERO;
        }
        let last = Duration::from_millis(self.0.last.load(Ordering::SeqCst));
        self.0.started.elapsed().saturating_sub(last)
    }
}

/// A request or a batch under way.
pub struct InUse(Usage);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.now();
        self.0.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn usage(monitors: &[&str]) -> Usage {
        let idle_user_agents = monitors.iter().map(|&prefix| prefix.to_owned()).collect();
        Usage::new(&UsageSettings { idle_user_agents })
    }

    #[test]
    fn a_process_is_idle_since_the_last_use_ended() {
        let usage = usage(&[]);
        let (first, second) = (usage.begin(), usage.begin());
        assert_eq!(usage.idle(), Duration::ZERO);
        drop(first);
        assert_eq!(usage.idle(), Duration::ZERO, "the other goes on");
        drop(second);
        let ended = Instant::now();
        while usage.idle() == Duration::ZERO {
            std::hint::spin_loop();
        }
        let (idle, waited) = (usage.idle(), ended.elapsed());
        assert!(
            idle <= waited + Duration::from_millis(2),
            "{idle:?} after {waited:?}"
        );
    }

    #[test]
    fn monitors_are_known_by_the_beginning_of_their_agent() {
        let agent = |name: &'static str| {
            let agent = HeaderValue::from_static(name);
            HeaderMap::from_iter([(USER_AGENT, agent)])
        };
        let usage = usage(&["Blackbox Exporter/", "", "GoogleHC"]);
        assert!(usage.is_monitor(&agent("Blackbox Exporter/0.25.0")));
        assert!(usage.is_monitor(&agent("GoogleHC/1.0")));
        assert!(!usage.is_monitor(&agent("curl/8.0 (as Blackbox Exporter/)")));
        assert!(!usage.is_monitor(&HeaderMap::new()), "nothing is of no prefix");
    }
}
