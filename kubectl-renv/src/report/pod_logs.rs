//! The logs of a report.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::LogParams;

use super::archive::Files;
use crate::cluster::Cluster;
use crate::redact::redact;

/// How much of each log there is at most: its end.
const LINES: i64 = 20_000;
const BYTES: i64 = 10 * 1024 * 1024;

/// Adds the logs of all containers of these pods, and those of the containers before.
pub async fn add(cluster: &Cluster, pods: &[Pod], folder: &str, files: &mut Files) {
    for pod in pods {
        let name = pod.name_any();
        let status = pod.status.clone().unwrap_or_default();
        let containers = status
            .init_container_statuses
            .into_iter()
            .chain(status.container_statuses)
            .flatten();
        for container in containers {
            let state = container.state.unwrap_or_default();
            let has_begun = state.running.is_some() || state.terminated.is_some();
            let wanted = [
                (has_begun, false, ""),
                (container.restart_count > 0, true, ".previous"),
            ];
            for (_, previous, suffix) in wanted.into_iter().filter(|(wanted, ..)| *wanted) {
                let path = format!("{folder}/{name}/{}{suffix}.log", container.name);
                let parameters = LogParams {
                    container: Some(container.name.clone()),
                    previous,
                    tail_lines: Some(LINES),
                    limit_bytes: Some(BYTES),
                    timestamps: true,
                    ..LogParams::default()
                };
                match cluster.api::<Pod>().logs(&name, &parameters).await {
                    Ok(log) => files.text(&path, &redact(&log)),
                    Err(kube::Error::Api(status)) => files.not_read(&path, &status.message),
                    Err(error) => files.not_read(&path, &error.to_string()),
                }
            }
        }
    }
}
