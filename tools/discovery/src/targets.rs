//! A pod's ports and a node's kubelet as targets.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde::Serialize;

/// Some targets with the same labels.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    targets: Vec<String>,
    labels: BTreeMap<String, String>,
}

/// A target for each port that a container of the pod names; none before the pod has an address.
pub fn of_pod(pod: &Pod) -> Vec<Group> {
    let (Some(spec), Some(status)) = (&pod.spec, &pod.status) else {
        return Vec::new();
    };
    let Some(address) = &status.pod_ip else {
        return Vec::new();
    };
    let mut of_the_pod = BTreeMap::new();
    for (name, value) in pod.metadata.labels.iter().flatten() {
        label(
            &mut of_the_pod,
            &format!("pod_label_{}", sanitized(name)),
            Some(value),
        );
    }
    label(&mut of_the_pod, "namespace", pod.metadata.namespace.as_ref());
    label(&mut of_the_pod, "pod_name", pod.metadata.name.as_ref());
    label(&mut of_the_pod, "pod_phase", status.phase.as_ref());
    label(&mut of_the_pod, "pod_node_name", spec.node_name.as_ref());
    let ports = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
        .flat_map(|container| {
            container
                .ports
                .iter()
                .flatten()
                .map(move |port| (container, port))
        });
    ports
        .map(|(container, port)| {
            let mut labels = of_the_pod.clone();
            label(&mut labels, "pod_container_name", Some(&container.name));
            label(&mut labels, "pod_container_port_name", port.name.as_ref());
            label(
                &mut labels,
                "pod_container_port_number",
                Some(&port.container_port.to_string()),
            );
            Group {
                targets: vec![host_and_port(address, port.container_port)],
                labels,
            }
        })
        .collect()
}

/// A node's kubelet.
pub fn of_node(node: &Node) -> Option<Group> {
    let status = node.status.as_ref()?;
    let address = status
        .addresses
        .iter()
        .flatten()
        .find(|address| address.type_ == "InternalIP")?;
    let port = status
        .daemon_endpoints
        .as_ref()
        .and_then(|endpoints| endpoints.kubelet_endpoint.as_ref())?
        .port;
    let mut labels = BTreeMap::new();
    label(&mut labels, "node_name", node.metadata.name.as_ref());
    Some(Group {
        targets: vec![host_and_port(&address.address, port)],
        labels,
    })
}

fn label(labels: &mut BTreeMap<String, String>, name: &str, value: Option<&String>) {
    if let Some(value) = value {
        labels.insert(format!("__meta_kubernetes_{name}"), value.clone());
    }
}

/// What Prometheus makes of a label's name.
fn sanitized(name: &str) -> String {
    name.replace(|character: char| !character.is_ascii_alphanumeric(), "_")
}

fn host_and_port(address: &str, port: i32) -> String {
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(value: Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_port_of_a_pod_is_a_target_with_the_labels_of_kubernetes_discovery() {
        let found = of_pod(&pod(json!({
            "metadata": {
                "namespace": "team-a", "name": "x-postgres-0",
                "labels": {"app.kubernetes.io/instance": "x", "rates.internal/role": "primary"},
            },
            "spec": {
                "nodeName": "node-2",
                "containers": [
                    {"name": "postgres", "ports": [{"name": "patroni", "containerPort": 8008}]},
                    {"name": "roles"},
                ],
                // A container that runs beside the others is written among these.
                "initContainers": [{"name": "exporter", "restartPolicy": "Always", "ports": [{"containerPort": 9187}]}],
            },
            "status": {"phase": "Running", "podIP": "198.18.64.7"},
        })));
        let targets: Vec<&str> = found.iter().map(|group| group.targets[0].as_str()).collect();
        assert_eq!(targets, ["198.18.64.7:8008", "198.18.64.7:9187"]);
        let labels: Vec<(&str, &str)> = found[0]
            .labels
            .iter()
            .map(|(name, value)| (name.trim_start_matches("__meta_kubernetes_"), value.as_str()))
            .collect();
        assert_eq!(
            labels,
            [
                ("namespace", "team-a"),
                ("pod_container_name", "postgres"),
                ("pod_container_port_name", "patroni"),
                ("pod_container_port_number", "8008"),
                ("pod_label_app_kubernetes_io_instance", "x"),
                ("pod_label_rates_internal_role", "primary"),
                ("pod_name", "x-postgres-0"),
                ("pod_node_name", "node-2"),
                ("pod_phase", "Running"),
            ]
        );
        assert!(
            !found[1]
                .labels
                .contains_key("__meta_kubernetes_pod_container_port_name")
        );
    }

    #[test]
    fn a_pod_without_an_address_is_no_target() {
        let found = of_pod(&pod(json!({
            "metadata": {},
            "spec": {"containers": [{"name": "api", "ports": [{"containerPort": 9090}]}]},
            "status": {"phase": "Pending"},
        })));
        assert_eq!(found, []);
    }

    #[test]
    fn a_nodes_kubelet_is_a_target_by_the_nodes_own_address() {
        let node: Node = serde_json::from_value(json!({
            "metadata": {"name": "node-1"},
            "status": {
                "addresses": [
                    {"type": "Hostname", "address": "node-1"},
                    {"type": "InternalIP", "address": "fd00::7"},
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            },
        }))
        .unwrap();
        let found = of_node(&node).unwrap();
        assert_eq!(found.targets, ["[fd00::7]:10250"]);
        assert_eq!(found.labels["__meta_kubernetes_node_name"], "node-1");
    }
}
