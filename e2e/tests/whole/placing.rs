//! Where pods may run and what they ask for, in a namespace that does not take everything.

use anyhow::{Result, ensure};
use client::environment::Environment;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "placing::an_environment_fits_a_limit_range_and_goes_where_it_is_told",
        fits_a_limit_range,
    )]
}

fn fits_a_limit_range() -> Result<()> {
    let environment = Environment::new("fitted")?;
    environment.kubectl.apply(&json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"},
        "spec": {"limits": [{"type": "Container", "min": {"cpu": "50m", "memory": "64Mi"}}]},
    }))?;
    let requests = json!({"cpu": "100m", "memory": "128Mi"});
    let team = json!({"labels": {"team": "pricing"}});
    environment.apply(&json!({
        "profile": "Preview",
        "database": {
            "seed": {"bundled": {}},
            "resources": {"requests": requests, "limits": {"cpu": "1", "memory": "1Gi"}},
            "podMetadata": team,
        },
        "api": {
            "resources": {"requests": requests, "limits": {"cpu": "500m", "memory": "512Mi"}},
            "podMetadata": team,
        },
        "jobs": {"podMetadata": team},
        "scheduling": {
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "rates", "effect": "NoSchedule"}],
            "priorityClassName": "system-cluster-critical",
        },
        "imagePullSecrets": [{"name": "not-needed-here"}],
    }))?;
    environment.wait_ready()?;
    let pods = environment.kubectl.list("pods", "team=pricing")?;
    let of = |component: &str| {
        let label = |pod: &&Value| pod["metadata"]["labels"]["app.kubernetes.io/component"] == component;
        pods.iter().filter(label).count()
    };
    ensure!(
        of("postgres") == 1 && of("api") == 1 && of("seed") == 1,
        "these pods have the label: {pods:?}"
    );
    for pod in &pods {
        ensure!(
            pod["spec"]["nodeSelector"]["kubernetes.io/os"] == "linux"
                && pod["spec"]["priorityClassName"] == "system-cluster-critical"
                && pod["spec"]["imagePullSecrets"][0]["name"] == "not-needed-here",
            "{}",
            pod["spec"]
        );
    }
    Ok(())
}
