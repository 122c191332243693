//! Nothing that changes anything answers without authentication, on any port of any of our pods: not even where no
//! NetworkPolicy stands before them.

use anyhow::{Context as _, Result, ensure};
use client::environment::{Environment, PATIENCE};
use client::kubectl::Kubectl;
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::trial::trial;

/// What runs in the other namespace.
const PROBE: &str = include_str!("closed.py");

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "closed::nothing_that_changes_anything_answers_without_authentication",
        nothing_answers,
    )]
}

fn nothing_answers() -> Result<()> {
    let environment = Environment::new("closed")?;
    environment.apply(&json!({
        "profile": "Preview",
        "networkPolicies": false,
        "database": {"seed": {"bundled": {}}},
    }))?;
    environment.wait_ready()?;
    let mut pods = environment.kubectl.list(
        "pods",
        &format!("app.kubernetes.io/instance={}", environment.name),
    )?;
    let image = pods
        .iter()
        .find_map(|pod| {
            pod["metadata"]["name"]
                .as_str()?
                .ends_with("-postgres-0")
                .then(|| pod["spec"]["containers"][0]["image"].clone())
        })
        .context("the database's pod")?;
    pods.extend(Kubectl::new("rates-system").list("pods", "app.kubernetes.io/name=rates-operator")?);
    let targets: Vec<String> = pods.iter().filter_map(target).collect();
    // The database's, the API's and the operator's.
    ensure!(targets.len() >= 3, "{targets:?}");

    let stranger = Environment::new("stranger")?;
    stranger.kubectl.apply(&probe(&image))?;
    let running = "{.status.phase}";
    until("the probe runs", PATIENCE, || {
        let phase = stranger
            .kubectl
            .run(["get", "pod", "probe", "-o", &format!("jsonpath={running}")])?;
        Ok(if phase == "Running" {
            Look::Holds(())
        } else {
            Look::NotYet(phase)
        })
    })?;
    let arguments = ["exec", "-i", "probe", "--", "python3", "-"];
    let arguments = arguments.into_iter().chain(targets.iter().map(String::as_str));
    let found = stranger.kubectl.run_with_input(arguments, PROBE)?;
    println!("{found}");
    ensure!(found.ends_with("tried all\n"), "the probe did not end: {found}");
    ensure!(!found.contains("open"), "{found}");
    let config = environment.kubectl.run([
        "get",
        "configmap",
        &format!("{}-postgres-config", environment.name),
        "-o",
        "jsonpath={.metadata.annotations.config}",
    ])?;
    ensure!(!config.contains("archive_command"), "{config}");
    Ok(())
}

/// The address of a pod that serves, with the ports that its containers name. A Job's pod that ended is said to run for a
/// moment more, and its address never answers.
fn target(pod: &Value) -> Option<String> {
    if pod["status"]["phase"] != "Running" || pod["metadata"]["ownerReferences"][0]["kind"] == "Job" {
        return None;
    }
    let containers = pod["spec"]["containers"].as_array()?;
    let ports: Vec<String> = containers
        .iter()
        .flat_map(|container| container["ports"].as_array().into_iter().flatten())
        .map(|port| port["containerPort"].to_string())
        .collect();
    Some(format!(
        "{}:{}",
        pod["status"]["podIP"].as_str()?,
        ports.join(",")
    ))
}

fn probe(image: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe"},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "probe",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "infinity"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    })
}
