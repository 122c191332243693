//! Which timeline of a database is the newest that this process has seen.
//!
//! Every promotion begins a timeline with a higher number (PostgreSQL, "Timelines"). A server on a lower one was the
//! primary and is not any more, also where it does not know that yet: it was frozen, or cut off. It may lack what was
//! acknowledged since, so nothing is asked of it, and connections to it are ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::address::Address;
use crate::counters::Outcomes;

/// Where the database is, and what is known of its history. Clones know the same.
#[derive(Debug, Clone)]
pub struct Primary {
    pub address: Address,
    pub timelines: Timelines,
}

impl Primary {
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            timelines: Timelines::default(),
        }
    }
}

/// A timeline of a database cluster: where something was read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The cluster's system identifier.
    pub system: i64,
    pub timeline: u32,
}

/// A timeline's number as the name of a log file has it, in hexadecimal; 0, which no timeline has, where there is none.
#[must_use]
pub fn timeline(text: Option<&str>) -> u32 {
    text.and_then(|text| u32::from_str_radix(text, 16).ok())
        .unwrap_or_default()
}

#[derive(Debug, thiserror::Error)]
#[error("the server is on timeline {found}, and another was promoted since, to timeline {newest}")]
pub struct Superseded {
    found: u32,
    newest: u32,
}

/// Cheap to clone; clones know the same.
#[derive(Debug, Clone)]
pub struct Timelines(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    newest: watch::Sender<BTreeMap<i64, u32>>,
    refused: Outcomes,
    /// No labels; nothing before a primary was seen.
    shown: Family<[(&'static str, &'static str); 0], Gauge>,
}

impl Default for Timelines {
    fn default() -> Self {
        Self(Arc::new(Inner {
            newest: watch::Sender::default(),
            refused: Outcomes::of(&["in_recovery", "older_timeline"]),
            shown: Family::default(),
        }))
    }
}

impl Timelines {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "database_timeline",
            "The newest timeline of the database that this process has seen: each promotion adds one",
            self.0.shown.clone(),
        );
        self.0.refused.register(
            registry,
            "database_servers_refused",
            "Connections that were not used, as their server was in recovery or on an older timeline than one seen before",
        );
    }

    /// Whether a primary on this timeline may be used. One that is newer than all before supersedes them.
    ///
    /// # Errors
    /// When a newer one was seen.
    pub fn admit(&self, origin: Origin) -> Result<(), Superseded> {
        self.note(origin);
        match self.newest(origin.system) {
            newest if newest > origin.timeline => {
                self.0.refused.count("older_timeline");
                Err(Superseded {
                    found: origin.timeline,
                    newest,
                })
            }
            _ => Ok(()),
        }
    }

    /// A server was met that is on this timeline, or that follows one which is.
    pub fn note(&self, origin: Origin) {
        let Origin { system, timeline } = origin;
        let is_newer = self.0.newest.send_if_modified(|newest| {
            let known = newest.entry(system).or_default();
            let is_newer = *known < timeline;
            *known = timeline.max(*known);
            is_newer
        });
        if is_newer {
            tracing::info!(timeline, "the database is on a new timeline");
            self.0.shown.get_or_create(&[]).set(timeline.into());
        }
    }

    /// A server was in recovery where the primary was expected.
    pub fn refused_in_recovery(&self) {
        self.0.refused.count("in_recovery");
    }

    #[must_use]
    pub fn is_superseded(&self, origin: Origin) -> bool {
        self.newest(origin.system) > origin.timeline
    }

    /// Waits until a newer timeline is seen.
    pub async fn superseded(&self, origin: Origin) {
        let mut newest = self.0.newest.subscribe();
        let is_newer = |newest: &BTreeMap<i64, u32>| {
            newest
                .get(&origin.system)
                .is_some_and(|newest| *newest > origin.timeline)
        };
        if newest.wait_for(is_newer).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn newest(&self, system: i64) -> u32 {
        self.0.newest.borrow().get(&system).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const fn at(system: i64, timeline: u32) -> Origin {
        Origin { system, timeline }
    }

    #[test]
    fn a_primary_on_an_older_timeline_than_one_seen_is_refused() {
        let timelines = Timelines::default();
        assert!(timelines.admit(at(7, 2)).is_ok());
        assert!(timelines.admit(at(7, 2)).is_ok());
        assert!(timelines.admit(at(7, 3)).is_ok());
        let error = timelines.admit(at(7, 2)).unwrap_err().to_string();
        assert!(
            error.contains("timeline 2") && error.contains("timeline 3"),
            "{error}"
        );
        assert!(timelines.is_superseded(at(7, 2)) && !timelines.is_superseded(at(7, 3)));
    }

    #[test]
    fn another_cluster_has_a_history_of_its_own() {
        let timelines = Timelines::default();
        timelines.note(at(7, 9));
        assert!(timelines.admit(at(8, 1)).is_ok());
        assert!(timelines.admit(at(7, 8)).is_err());
    }

    #[tokio::test]
    async fn what_waits_for_a_newer_timeline_is_told_of_the_first() {
        let timelines = Timelines::default();
        assert!(timelines.admit(at(7, 1)).is_ok());
        let waiting = timelines.superseded(at(7, 1)).shared();
        assert!(waiting.clone().now_or_never().is_none());
        timelines.note(at(8, 5));
        assert!(waiting.clone().now_or_never().is_none());
        timelines.note(at(7, 4));
        waiting.await;
    }
}
