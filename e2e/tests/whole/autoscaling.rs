//! Replicas belong to the HPA where autoscaling is on.

use anyhow::{Context as _, Result, ensure};
use client::environment::{Environment, PATIENCE};
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "autoscaling::takes_the_replicas_over_and_gives_them_back",
        takes_over_and_gives_back,
    )]
}

fn spec(api: &Value) -> Value {
    json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}, "api": api})
}

fn replicas(environment: &Environment) -> Result<Value> {
    let deployment = environment
        .kubectl
        .get("deployment", "scaling-api")?
        .context("no Deployment scaling-api")?;
    Ok(deployment["spec"]["replicas"].clone())
}

fn takes_over_and_gives_back() -> Result<()> {
    let environment = Environment::new("scaling")?;
    environment.apply(&spec(&json!({"replicas": 2})))?;
    environment.wait_ready()?;
    ensure!(replicas(&environment)? == 2);

    // minReplicas equals what runs, so that a drop to one in the hand-over would show as an update.
    let autoscaling = json!({"minReplicas": 2, "maxReplicas": 3, "targetCPUUtilizationPercentage": 80});
    environment.apply(&spec(&json!({"autoscaling": autoscaling})))?;
    until("the HPA reads the CPU and wants two replicas", PATIENCE, || {
        let Some(hpa) = environment
            .kubectl
            .get("horizontalpodautoscaler", "scaling-api")?
        else {
            return Ok(Look::NotYet("no HPA".to_owned()));
        };
        let read = hpa["status"]["currentMetrics"][0]["resource"]["current"]["averageUtilization"].is_u64();
        let wants_two = hpa["status"]["desiredReplicas"] == 2;
        Ok(if read && wants_two {
            Look::Holds(())
        } else {
            Look::NotYet(hpa["status"].to_string())
        })
    })?;
    ensure!(replicas(&environment)? == 2, "the hand-over kept the replicas");

    environment.apply(&spec(&json!({"replicas": 1})))?;
    until("the HPA is gone and one replica is left", PATIENCE, || {
        let hpa = environment
            .kubectl
            .get("horizontalpodautoscaler", "scaling-api")?;
        let replicas = replicas(&environment)?;
        Ok(if hpa.is_none() && replicas == 1 {
            Look::Holds(())
        } else {
            Look::NotYet(format!("{replicas} replicas, HPA {}", hpa.is_some()))
        })
    })?;
    environment.wait_ready().map(drop)
}
