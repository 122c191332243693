//! The nodes of the local cluster, as their kubelets say they are set.

use anyhow::{Context as _, Result, ensure};
use client::kubectl::Kubectl;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![trial("nodes::no_kubelet_removes_an_image", no_image_is_removed)]
}

/// A kubelet ignores a setting whose name it does not know. Without a registry, a removed image does not come back.
fn no_image_is_removed() -> Result<()> {
    let cluster = Kubectl::new("default");
    let nodes = cluster.run(["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"])?;
    for node in nodes.split_whitespace() {
        let path = format!("/api/v1/nodes/{node}/proxy/configz");
        let answer: Value = serde_json::from_str(&cluster.run(["get", "--raw", &path])?)
            .context("the kubelet's settings are no JSON")?;
        let config = &answer["kubeletconfig"];
        ensure!(
            config["imageGCHighThresholdPercent"] == 100 && config["imageMaximumGCAge"] == "0s",
            "{node}: {config}"
        );
    }
    Ok(())
}
