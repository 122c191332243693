//! `spec.monitoring`.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::metadata::{LabelValue, OWN_LABELS, OWN_LABELS_MESSAGE};

/// How the environment's metrics are collected.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.podMonitor || !has(self.labels) || self.labels.size() == 0")
    .message("monitoring.labels are those of the PodMonitors, and monitoring.podMonitor: false makes none: leave one of the two out"))]
pub struct Monitoring {
    /// Make the PodMonitors (monitoring.coreos.com/v1) NAME-api and NAME-postgres, from which the
    /// Prometheus operator learns what to collect. false: none, for a Prometheus that finds the pods
    /// by itself. Default: true.
    #[serde(default = "super::yes")]
    pub pod_monitor: bool,

    /// Labels of the PodMonitors, at most 16, by which a Prometheus chooses them. Default: none.
    /// Example: {release: prometheus}.
    #[serde(
        default,
        deserialize_with = "super::schema::null_is_absent",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new(OWN_LABELS).message(OWN_LABELS_MESSAGE))]
    pub labels: BTreeMap<String, LabelValue>,
}
