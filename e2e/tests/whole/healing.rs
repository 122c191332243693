//! What people and clusters do to an environment, and what becomes of it: it heals, or says what is wrong.

use anyhow::{Context as _, Result, ensure};
use client::environment::{Environment, PATIENCE, bundled_rate, condition};
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "healing::a_lost_volume_is_a_new_database_seeded_anew_and_said_so",
            lost_volume,
        ),
        trial(
            "healing::an_autoscaled_api_that_was_scaled_to_zero_is_back",
            scaled_to_zero,
        ),
        trial(
            "healing::what_a_limit_range_refuses_is_told_in_the_api_servers_words",
            limit_range,
        ),
    ]
}

fn bundled(api: &Value) -> Value {
    json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}, "api": api})
}

fn lost_volume() -> Result<()> {
    let environment = Environment::new("lost")?;
    environment.apply(&bundled(&json!({})))?;
    environment.wait_ready()?;
    let claim = || -> Result<Option<Value>> {
        let claim = environment.kubectl.get("pvc", "data-lost-postgres-0")?;
        Ok(claim.map(|claim| claim["metadata"]["uid"].clone()))
    };
    let lost = claim()?.context("no claim")?;
    environment
        .kubectl
        .run(["delete", "pvc", "data-lost-postgres-0", "--wait=false"])?;
    environment
        .kubectl
        .run(["delete", "pod", "lost-postgres-0", "--wait=false"])?;
    until("another volume was taken up and seeded", PATIENCE, || {
        let object = environment.object()?;
        let database = &object["status"]["database"];
        let taken_up =
            database["storage"]["replacedAt"].is_string() && claim()?.is_some_and(|uid| uid != lost);
        let seeded = database["seed"]["claimUid"] == database["storage"]["claimUid"];
        Ok(if taken_up && seeded {
            Look::Holds(())
        } else {
            Look::NotYet(object["status"].to_string())
        })
    })?;
    environment.wait_ready()?;
    let expected = bundled_rate();
    until("the API answers from the new seed", PATIENCE, || {
        let rates = environment
            .client()?
            .rates("CNGGZ", "EETLL", "2021-01-31", "2021-01-31")?;
        Ok(if rates == [expected.clone()] {
            Look::Holds(())
        } else {
            Look::NotYet(Value::from(rates).to_string())
        })
    })?;
    let events = environment.kubectl.run(["get", "events", "-o", "json"])?;
    ensure!(events.contains("VolumeReplaced"), "no Event says it: {events}");
    Ok(())
}

fn scaled_to_zero() -> Result<()> {
    let environment = Environment::new("zeroed")?;
    environment.apply(&bundled(
        &json!({"autoscaling": {"minReplicas": 1, "maxReplicas": 2}}),
    ))?;
    environment.wait_ready()?;
    environment
        .kubectl
        .run(["scale", "deployment/zeroed-api", "--replicas=0"])?;
    until("a pod of the API is back", PATIENCE, || {
        let deployment = environment
            .kubectl
            .get("deployment", "zeroed-api")?
            .unwrap_or_default();
        let available = deployment["status"]["availableReplicas"].as_u64();
        let seen = deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"];
        Ok(if seen && available.is_some_and(|pods| pods > 0) {
            Look::Holds(())
        } else {
            Look::NotYet(deployment["status"].to_string())
        })
    })?;
    environment.wait_ready().map(drop)
}

fn limit_range() -> Result<()> {
    let environment = Environment::new("bounded")?;
    environment.kubectl.apply(&json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"},
        "spec": {"limits": [{"type": "Container", "min": {"cpu": "50m", "memory": "64Mi"}}]},
    }))?;
    environment.apply(&bundled(&json!({})))?;
    until("the refusal is in the status", PATIENCE, || {
        let object = environment.object()?;
        let database = condition(&object, "DatabaseReady");
        let words = database["message"].as_str().unwrap_or_default();
        let told =
            database["reason"] == "PodRefused" && words.contains("minimum cpu usage per Container is 50m");
        Ok(if told && object["status"]["phase"] == "Degraded" {
            Look::Holds(())
        } else {
            Look::NotYet(object["status"].to_string())
        })
    })?;
    environment.kubectl.run(["delete", "limitrange", "range"])?;
    // The controller of a StatefulSet tries again after growing pauses.
    environment.kubectl.run([
        "annotate",
        "statefulset/bounded-postgres",
        "example.test/try=again",
    ])?;
    environment.wait_ready().map(drop)
}
