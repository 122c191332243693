//! Helm as a person uses it: the one on PATH, the cluster of KUBECONFIG, this repository's charts.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

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
    let line = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {line}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not ask for values may have ended by now.
        let _ = stdin.write_all(values.to_string().as_bytes());
    }
    let output = child.wait_with_output()?;
    let printed =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{line} ended with {}: {printed}",
        output.status
    );
    Ok(printed)
}

/// The folder of a chart.
#[must_use]
pub fn chart(name: &str) -> String {
    format!("{}/../../charts/{name}", env!("CARGO_MANIFEST_DIR"))
}
