//! The two of Patroni's keys that the operator writes: the leader key, and the order to change the leader.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use serde::Deserialize;

use crate::annotations::{
    PATRONI_LEADER, PATRONI_MEMBER, PATRONI_OPTIME, PATRONI_RENEWED, PATRONI_STATUS, REPLICATION_ACT,
};
use crate::identity::Identity;

/// The leader key, as it was last seen: whoever holds it is the primary, or is about to be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LeaderKey {
    /// Nobody where it was given up. Of one that expired, whoever held it last: its age alone tells.
    pub holder: Option<String>,
    /// By the holder's clock.
    pub renewed: Option<Timestamp>,
    /// The end of the primary's log at that time, in bytes.
    pub log_end: Option<u64>,
    /// Of the `ConfigMap`.
    pub resource_version: Option<String>,
}

impl LeaderKey {
    #[must_use]
    pub fn of(identity: &Identity, config_maps: &[ConfigMap]) -> Self {
        let [_, name, ..] = identity.patroni_state();
        let config_map = config_maps.iter().find(|found| found.name_any() == name);
        Self {
            holder: annotation(config_map, PATRONI_LEADER),
            renewed: annotation(config_map, PATRONI_RENEWED).and_then(|time| time.parse().ok()),
            log_end: annotation(config_map, PATRONI_OPTIME).and_then(|end| end.parse().ok()),
            resource_version: config_map.and_then(ResourceExt::resource_version),
        }
    }
}

/// The order to change the leader, and what the operator noted with it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Order {
    /// The primary to be relieved; none where a standby is to take over in any case.
    pub from: Option<String>,
    /// The standby that is to take over; none where Patroni chooses.
    pub to: Option<String>,
    /// What the operator is carrying out.
    pub act: Option<String>,
    /// Of the `ConfigMap`.
    pub resource_version: Option<String>,
}

impl Order {
    #[must_use]
    pub fn of(identity: &Identity, config_maps: &[ConfigMap]) -> Self {
        let [_, _, name, _] = identity.patroni_state();
        let config_map = config_maps.iter().find(|found| found.name_any() == name);
        Self {
            from: annotation(config_map, PATRONI_LEADER),
            to: annotation(config_map, PATRONI_MEMBER),
            act: annotation(config_map, REPLICATION_ACT),
            resource_version: config_map.and_then(ResourceExt::resource_version),
        }
    }

    /// Whether Patroni has one to carry out.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }
}

fn annotation(config_map: Option<&ConfigMap>, key: &str) -> Option<String> {
    let value = config_map?.annotations().get(key)?;
    Some(value.clone()).filter(|value| !value.is_empty())
}

/// The end of the log that a member had when it last said, in bytes: some seconds old.
#[must_use]
pub fn log_end(pod: &Pod) -> Option<u64> {
    #[derive(Deserialize)]
    struct Location {
        xlog_location: Option<u64>,
    }
    let status = pod.annotations().get(PATRONI_STATUS)?;
    serde_json::from_str::<Location>(status).ok()?.xlog_location
}
