//! Helm as a person uses it: the one on PATH, the cluster of KUBECONFIG, this repository's charts.

use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use crate::program;

/// Runs Helm in a namespace with values on standard input, and gives what it printed.
pub fn helm(namespace: &str, arguments: &[&str], values: &Value) -> Result<String> {
    let home = std::env::temp_dir().join("rates-e2e-helm");
    let mut command = Command::new("helm");
    command
        .args(["--namespace", namespace])
        .args(arguments)
        // Its caches are none of the person's.
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"));
    program::run(&mut command, &values.to_string())
}

/// The folder of a chart.
#[must_use]
pub fn chart(name: &str) -> String {
    format!("{}/../../charts/{name}", env!("CARGO_MANIFEST_DIR"))
}
