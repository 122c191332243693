//! Environments as these benchmarks apply them.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::wait::{Look, until};
use serde_json::{Value, json};

use host::command;
use local_cluster::Running;

/// How long an environment is waited for.
pub const PATIENCE: Duration = Duration::from_mins(10);

/// So many Previews with the bundled data, `pr-1` and so on.
pub fn apply(running: &Running, namespace: &str, count: u8) -> Result<()> {
    let items: Vec<Value> = (1..=count)
        .map(|number| preview(namespace, number.into()))
        .collect();
    apply_all(running, &items)
}

/// The Preview `pr-NUMBER` with the bundled data.
pub fn preview(namespace: &str, number: usize) -> Value {
    let spec = json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}});
    environment(namespace, &format!("pr-{number}"), &spec)
}

pub fn environment(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "rates.internal/v1alpha1",
        "kind": "RatesEnvironment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}

pub fn apply_all(running: &Running, items: &[Value]) -> Result<()> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let mut child = running
        .kubectl()
        .args(["apply", "--server-side", "--filename=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start kubectl")?;
    let input = child.stdin.take().context("kubectl has no input")?;
    serde_json::to_writer(input, &list).context("cannot write to kubectl")?;
    let status = child.wait().context("cannot wait for kubectl")?;
    ensure!(status.success(), "kubectl apply ended with {status}");
    Ok(())
}

/// Removes the environments of a namespace and it. Their pods go first: where it has pods, Kubernetes looks at a namespace that
/// ends only every half of the time that they may take to end, which is minutes.
pub fn remove(running: &Running, namespace: &str) -> Result<()> {
    let all = ["renv", "--namespace", namespace];
    let delete = ["delete", "--all", "--cascade=foreground", "--wait=false"];
    kubectl(running, &[&delete[..], &all[..]].concat())?;
    until("the environments of a namespace are gone", PATIENCE, || {
        let left = kubectl(running, &[&["get", "--output=name"], &all[..]].concat())?;
        Ok(if left.is_empty() {
            Look::Holds(())
        } else {
            Look::NotYet(left)
        })
    })?;
    kubectl(running, &["delete", "namespace", namespace])?;
    Ok(())
}

pub fn kubectl(running: &Running, arguments: &[&str]) -> Result<String> {
    let mut command: Command = running.kubectl();
    command::output(command.args(arguments))
}
