//! What database pods say of themselves in their annotations: Patroni its state, the role manager
//! which login it made to work. And what Patroni says of the cluster, in the annotations of its `ConfigMaps`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use serde::Deserialize;

use crate::annotations::{
    MIGRATOR, NEXT_LOGIN, PATRONI_CONFIG, PATRONI_INITIALIZE, PATRONI_LEADER, PATRONI_QUORUM,
    PATRONI_STANDBYS, PATRONI_STATUS, POSTGRES_VERSION, START_FAILURE,
};
use crate::identity::Identity;

/// The state of a member, as it last said.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq)]
pub struct Member {
    /// `running`, `starting`, `stopped`, `creating replica` and the like.
    #[serde(default)]
    pub state: String,
    /// `primary` or `replica`; `promoted` for a moment.
    #[serde(default)]
    pub role: String,
    #[serde(default)]
    pub timeline: Option<i64>,
    /// Of a standby: `streaming`, or `in archive recovery` while it gets nothing from the primary.
    #[serde(default)]
    pub replication_state: Option<String>,
    #[serde(default)]
    pub pending_restart: bool,
}

impl Member {
    /// Without what cannot be read.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let status = pod.annotations().get(PATRONI_STATUS);
        status
            .and_then(|status| serde_json::from_str(status).ok())
            .unwrap_or_default()
    }

    /// Whether it is a standby that gets everything from the primary at once.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.state == "running" && self.replication_state.as_deref() == Some("streaming")
    }
}

/// What Patroni says of the cluster.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cluster {
    /// The system identifier of the data; none before there are any.
    pub identifier: Option<String>,
    /// The member that has the leader key; it may have expired.
    pub leader: Option<String>,
    /// The primary for which the standbys below are on record.
    pub synchronised_with: Option<String>,
    /// The standbys of which at least one has whatever was acknowledged.
    pub standbys: BTreeSet<String>,
    /// Of how many of the others one of these standbys has to hear before it may take over.
    pub quorum: usize,
    /// Whether somebody paused Patroni: no standby takes over by itself then.
    pub is_paused: bool,
}

impl Cluster {
    /// From the `ConfigMaps` that are there.
    #[must_use]
    pub fn of(identity: &Identity, config_maps: &[ConfigMap]) -> Self {
        let names = identity.patroni_state();
        let [config, leader, _, sync] = names.map(|name| config_maps.iter().find(|c| c.name_any() == name));
        let annotation = |config_map: Option<&ConfigMap>, key: &str| {
            let value = config_map?.annotations().get(key)?;
            Some(value.clone()).filter(|value| !value.is_empty())
        };
        let standbys = annotation(sync, PATRONI_STANDBYS).unwrap_or_default();
        Self {
            identifier: annotation(config, PATRONI_INITIALIZE),
            leader: annotation(leader, PATRONI_LEADER),
            synchronised_with: annotation(sync, PATRONI_LEADER),
            standbys: standbys
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            quorum: annotation(sync, PATRONI_QUORUM)
                .and_then(|quorum| quorum.parse().ok())
                .unwrap_or(0),
            is_paused: annotation(config, PATRONI_CONFIG).is_some_and(|settings| is_paused(&settings)),
        }
    }
}

fn is_paused(settings: &str) -> bool {
    #[derive(Deserialize)]
    struct Settings {
        #[serde(default)]
        pause: bool,
    }
    serde_json::from_str::<Settings>(settings).is_ok_and(|settings| settings.pause)
}

#[derive(Default, Deserialize)]
struct Pending {
    #[serde(default)]
    pending_restart_reason: BTreeMap<String, Change>,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    new_value: serde_json::Value,
}

/// The parameters that a pod's server takes only at its next start, with the values to come.
#[must_use]
pub fn pending_restart(pod: &Pod) -> BTreeMap<String, String> {
    let status = pod.annotations().get(PATRONI_STATUS);
    let member: Pending = status
        .and_then(|status| serde_json::from_str(status).ok())
        .unwrap_or_default();
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    let changes = member.pending_restart_reason.into_iter();
    changes
        .map(|(name, change)| (name, text(change.new_value)))
        .collect()
}

/// What of a pod's annotations is a reason to look at its environment; Patroni writes there every
/// few seconds.
#[must_use]
pub fn said(pod: &Pod) -> (Member, BTreeMap<String, String>, [Option<String>; 4]) {
    let told = |name| pod.annotations().get(name).cloned();
    (
        Member::of(pod),
        pending_restart(pod),
        [NEXT_LOGIN, MIGRATOR, POSTGRES_VERSION, START_FAILURE].map(told),
    )
}

/// Whether the role manager made the Jobs' own login work.
#[must_use]
pub fn knows_migrator(pod: &Pod) -> bool {
    pod.annotations().contains_key(MIGRATOR)
}

/// Why a pod's server does not start, in its own words.
#[must_use]
pub fn start_failure(pod: &Pod) -> Option<&str> {
    pod.annotations().get(START_FAILURE).map(String::as_str)
}

/// The version that a pod's server told, where it is one.
#[must_use]
pub fn version(pod: &Pod) -> Option<String> {
    let version = pod.annotations().get(POSTGRES_VERSION)?;
    let numbers = |version: &str| version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    (!version.is_empty() && version.len() <= 8 && numbers(version)).then(|| version.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(annotations: &[(&str, &str)]) -> Pod {
        let mut pod = Pod::default();
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pod.metadata.annotations = Some(annotations.iter().map(owned).collect());
        pod
    }

    #[test]
    fn what_waits_for_a_restart_is_read_from_patronis_status() {
        let status = r#"{"state":"running","xlog_location":1,"pending_restart":true,"pending_restart_reason":
            {"shared_buffers":{"old_value":"128MB","new_value":"32MB"},"max_connections":{"old_value":"100","new_value":50}}}"#;
        let pending = pending_restart(&pod(&[(PATRONI_STATUS, status)]));
        assert_eq!(pending["shared_buffers"], "32MB");
        assert_eq!(pending["max_connections"], "50");
    }

    #[test]
    fn what_patroni_writes_every_few_seconds_is_no_reason_to_look() {
        let at = |location: u32| {
            said(&pod(&[(
                PATRONI_STATUS,
                &format!(r#"{{"xlog_location":{location}}}"#),
            )]))
        };
        assert_eq!(at(1), at(2));
        assert_eq!(at(1), said(&pod(&[(PATRONI_STATUS, "no JSON")])));
        assert_ne!(at(1), said(&pod(&[(NEXT_LOGIN, "0123456789")])));
    }

    #[test]
    fn the_state_of_a_standby_is_a_reason_to_look() {
        let standby = |state: &str| {
            let status = format!(
                r#"{{"state":"running","role":"replica","timeline":2,"xlog_location":7,"replication_state":{state:?}}}"#
            );
            pod(&[(PATRONI_STATUS, &status)])
        };
        let (streaming, behind) = (standby("streaming"), standby("in archive recovery"));
        assert!(Member::of(&streaming).streams() && !Member::of(&behind).streams());
        assert_ne!(said(&streaming), said(&behind));
        assert_eq!(Member::of(&streaming).timeline, Some(2));
    }

    #[test]
    fn the_cluster_is_read_from_patronis_config_maps() {
        let identity = Identity {
            name: "pier".to_owned(),
            namespace: "quay".to_owned(),
            uid: "1".to_owned(),
        };
        let config_map = |part: &str, annotations: &[(&str, &str)]| {
            let mut config_map = ConfigMap::default();
            config_map.metadata.name = Some(format!("pier-postgres-{part}"));
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            config_map.metadata.annotations = Some(annotations.iter().map(owned).collect());
            config_map
        };
        let sync = [
            ("leader", "pier-postgres-1"),
            ("sync_standby", "pier-postgres-0,pier-postgres-2"),
            ("quorum", "1"),
        ];
        let found = [
            config_map(
                "config",
                &[("initialize", "7401"), ("config", r#"{"ttl":20,"pause":true}"#)],
            ),
            config_map("leader", &[("leader", "pier-postgres-1")]),
            config_map("sync", &sync),
        ];
        let cluster = Cluster::of(&identity, &found);
        assert_eq!(cluster.identifier.as_deref(), Some("7401"));
        assert_eq!(cluster.leader, cluster.synchronised_with);
        assert_eq!((cluster.standbys.len(), cluster.quorum), (2, 1));
        assert!(cluster.is_paused);
        assert_eq!(Cluster::of(&identity, &[]), Cluster::default());
    }

    #[test]
    fn a_version_is_numbers() {
        let told = |text: &str| version(&pod(&[(POSTGRES_VERSION, text)]));
        assert_eq!(told("17.6").as_deref(), Some("17.6"));
        for odd in ["", "18beta1", "13.5 (Debian)", "123456789"] {
            assert_eq!(told(odd), None, "{odd}");
        }
    }
}
