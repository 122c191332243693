//! What the Prometheus operator is told to collect from: the API's pods, and the database's.
//!
//! Every sample gets the labels `environment` and `job`, which rules and dashboards go by.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::stateful_set::{EXPORTER_PORT, PATRONI_PORT};
use crate::identity::Component;
use crate::plan::{Environment, Exporter};
use crate::pod_monitor::{PodMetricsEndpoint, PodMonitor, PodMonitorSpec, Relabeling};

/// The label by which a pod tells its environment, as a Prometheus that finds pods names it.
const INSTANCE: &str = "__meta_kubernetes_pod_label_app_kubernetes_io_instance";

/// What is asked of every pod.
const INTERVAL: &str = "15s";
/// Waits are seen only while they last, so PostgreSQL is asked more often.
const EXPORTER_INTERVAL: &str = "5s";

pub fn build(environment: &Environment) -> Vec<PodMonitor> {
    let Some(monitoring) = &environment.monitoring else {
        return Vec::new();
    };
    let Some(labels) = &monitoring.pod_monitors else {
        return Vec::new();
    };
    let identity = &environment.identity;
    let patroni = endpoint("rates-patroni", PATRONI_PORT, INTERVAL, Vec::new());
    let exporter = matches!(monitoring.exporter, Exporter::Container { .. })
        .then(|| endpoint("rates-postgres", EXPORTER_PORT, EXPORTER_INTERVAL, less()));
    let of_postgres = exporter.into_iter().chain([patroni]).collect();
    let of_api = vec![endpoint("rates-api", "metrics", INTERVAL, Vec::new())];
    vec![
        pod_monitor(environment, identity.api(), Component::Api, labels, of_api),
        pod_monitor(
            environment,
            identity.postgres(),
            Component::Postgres,
            labels,
            of_postgres,
        ),
    ]
}

fn pod_monitor(
    environment: &Environment,
    name: String,
    component: Component,
    labels: &BTreeMap<String, String>,
    endpoints: Vec<PodMetricsEndpoint>,
) -> PodMonitor {
    let mut metadata = environment.identity.metadata(name, component);
    let own = metadata.labels.take().into_iter().flatten();
    metadata.labels = Some(labels.clone().into_iter().chain(own).collect());
    PodMonitor {
        metadata,
        spec: PodMonitorSpec {
            selector: LabelSelector {
                match_labels: Some(environment.identity.selector(component)),
                ..LabelSelector::default()
            },
            pod_metrics_endpoints: endpoints,
        },
    }
}

fn endpoint(
    job: &str,
    port: &str,
    interval: &str,
    metric_relabelings: Vec<Relabeling>,
) -> PodMetricsEndpoint {
    PodMetricsEndpoint {
        port: Some(port.to_owned()),
        path: Some("/metrics".to_owned()),
        interval: Some(interval.to_owned()),
        // Not longer than the interval, whatever a Prometheus has by default.
        scrape_timeout: Some(EXPORTER_INTERVAL.to_owned()),
        relabelings: vec![
            Relabeling {
                source_labels: vec![INSTANCE.to_owned()],
                target_label: Some("environment".to_owned()),
                ..relabeling("replace")
            },
            Relabeling {
                target_label: Some("job".to_owned()),
                replacement: Some(job.to_owned()),
                ..relabeling("replace")
            },
        ],
        metric_relabelings,
    }
}

/// What of the exporter's metrics nobody reads: of the template databases, and of its own runtime.
fn less() -> Vec<Relabeling> {
    let drop = |label: &str, regex: &str| Relabeling {
        source_labels: vec![label.to_owned()],
        regex: Some(regex.to_owned()),
        ..relabeling("drop")
    };
    vec![
        drop("datname", "template[01]"),
        drop("__name__", "(go|promhttp|process_(virtual|network|max|open))_.*"),
        // The server's socket, in some of the metrics.
        Relabeling {
            regex: Some("server".to_owned()),
            ..relabeling("labeldrop")
        },
    ]
}

fn relabeling(action: &str) -> Relabeling {
    // With the action also where it is the default: an atomic list is compared as a whole.
    Relabeling {
        action: Some(action.to_owned()),
        ..Relabeling::default()
    }
}
