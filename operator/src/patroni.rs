//! What database pods say of themselves in their annotations: Patroni its state, the role manager
//! which login it made to work.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::Deserialize;

use crate::annotations::{MIGRATOR, NEXT_LOGIN, PATRONI_STATUS, POSTGRES_VERSION, START_FAILURE};

#[derive(Default, Deserialize)]
struct Member {
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
    let member: Member = status
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
pub fn said(pod: &Pod) -> (BTreeMap<String, String>, [Option<String>; 4]) {
    let told = |name| pod.annotations().get(name).cloned();
    (
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
    fn a_version_is_numbers() {
        let told = |text: &str| version(&pod(&[(POSTGRES_VERSION, text)]));
        assert_eq!(told("17.6").as_deref(), Some("17.6"));
        for odd in ["", "18beta1", "13.5 (Debian)", "123456789"] {
            assert_eq!(told(odd), None, "{odd}");
        }
    }
}
