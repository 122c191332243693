//! Asking the operator for something once: annotations of an environment. The operator removes most of them when it is
//! done, and publishes an Event.

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::cluster::{Cluster, MANAGER};
use crate::environment::Environment;
use crate::parts::last_seen;

pub const SLEEP: &str = "rates.internal/sleep";
pub const WAKE: &str = "rates.internal/wake";
pub const SWITCHOVER: &str = "rates.internal/switchover";
pub const ROTATE_PASSWORD: &str = "rates.internal/rotate-password";
pub const ROTATE_INGEST_TOKEN: &str = "rates.internal/rotate-ingest-token";
pub const ROTATE_REPLICATION_PASSWORD: &str = "rates.internal/rotate-replication-password";

/// Sets an annotation; gives the environment as it is then.
pub async fn set(cluster: &Cluster, name: &str, key: &str, value: &str) -> Result<Environment> {
    patch(cluster, name, &json!({"metadata": {"annotations": {key: value}}})).await
}

/// Merges into an environment.
pub async fn patch(cluster: &Cluster, name: &str, change: &serde_json::Value) -> Result<Environment> {
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patched = cluster
        .environments()
        .patch(name, &parameters, &Patch::Merge(change))
        .await;
    match patched {
        Ok(object) => Ok(Environment::new(object)),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(cluster.missing(name).await),
        Err(error) => Err(cluster.explain(error, &format!("change environment {name}"))),
    }
}

/// The last Event of an environment since a moment, with one of these reasons: its reason and message.
pub async fn answer(
    cluster: &Cluster,
    name: &str,
    reasons: &[&str],
    since: Timestamp,
) -> Result<Option<(String, String)>> {
    let events: Api<Event> = cluster.api();
    let fields = format!("involvedObject.kind=RatesEnvironment,involvedObject.name={name}");
    let found = events.list(&ListParams::default().fields(&fields)).await;
    let mut found = found
        .map_err(|error| cluster.explain(error, "list events"))?
        .items;
    found.sort_by_key(last_seen);
    // Events have whole seconds where they have no others.
    let is_it = |event: &&Event| {
        let reason = event.reason.as_deref().unwrap_or_default();
        reasons.contains(&reason)
            && last_seen(event).is_some_and(|seen| seen.as_second() >= since.as_second())
    };
    let last = found.iter().rfind(is_it);
    Ok(last.map(|event| {
        (
            event.reason.clone().unwrap_or_default(),
            event.message.clone().unwrap_or_default(),
        )
    }))
}
