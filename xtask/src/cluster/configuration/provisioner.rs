//! local-path-provisioner's configuration and its helper pod.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Provisioner {
    node_path_map: Vec<NodePaths>,
    setup_command: &'static str,
    teardown_command: &'static str,
    cmd_timeout_seconds: u16,
}

#[derive(Debug, Serialize)]
struct NodePaths {
    node: String,
    paths: Vec<String>,
}

impl Provisioner {
    /// A folder for volumes below each node's folder.
    pub fn new<'a>(nodes: impl Iterator<Item = (String, &'a Path)>) -> Self {
        Self {
            node_path_map: nodes
                .map(|(node, folder)| NodePaths {
                    node,
                    paths: vec![folder.join("volumes").display().to_string()],
                })
                .collect(),
            setup_command: "/pause",
            teardown_command: "/pause",
            cmd_timeout_seconds: 120,
        }
    }

    /// The pod that makes and removes a volume's directory; the provisioner fills in the rest.
    pub fn helper_pod(image: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "volume"},
            "spec": {
                "automountServiceAccountToken": false,
                "terminationGracePeriodSeconds": 0,
                // It talks to nobody, and starts sooner without a network of its own.
                "hostNetwork": true,
                "containers": [{"name": "volume", "image": image, "imagePullPolicy": "IfNotPresent"}],
            },
        })
    }
}
