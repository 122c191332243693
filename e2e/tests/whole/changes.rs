//! A running environment is changed: its parameters, its password, and whether it runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, ensure};
use client::environment::{Environment, PATIENCE, bundled_rate};
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "changes::a_password_is_rotated_without_a_failed_request",
            rotates_the_password,
        ),
        trial(
            "changes::parameters_are_reloaded_or_restart_the_database_once",
            changes_parameters,
        ),
        trial("changes::suspended_and_resumed_with_the_same_data", suspends),
    ]
}

fn spec(parameters: &Value, suspend: bool) -> Value {
    json!({
        "profile": "Preview",
        "database": {"seed": {"bundled": {}}, "parameters": parameters},
        "suspend": suspend,
    })
}

fn wait_for(environment: &Environment, what: &str, holds: impl Fn(&Value) -> bool) -> Result<()> {
    until(what, PATIENCE, || {
        let object = environment.object()?;
        Ok(if holds(&object) {
            Look::Holds(())
        } else {
            Look::NotYet(object["status"].to_string())
        })
    })
}

fn answers(environment: &Environment) -> Result<bool> {
    let rates = environment
        .client()?
        .rates("CNGGZ", "EETLL", "2021-01-01", "2021-01-31")?;
    Ok(rates.first() == Some(&bundled_rate()))
}

fn rotates_the_password() -> Result<()> {
    let environment = Environment::new("rotated")?;
    environment.apply(&spec(&json!({}), false))?;
    environment.wait_ready()?;
    let secret = format!("{}-postgres", environment.name);
    let old = environment.kubectl.secret(&secret, "uri")?;
    let (stop, asked, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let rotated = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if !answers(&environment).unwrap_or(false) {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        let rotated = rotate(&environment);
        stop.store(true, Ordering::Relaxed);
        rotated
    });
    rotated?;
    let (asked, failed) = (asked.into_inner(), failed.into_inner());
    println!("changes: {asked} requests during a rotation, {failed} failed");
    ensure!(asked > 0 && failed == 0, "{failed} of {asked} requests failed");
    let new = environment.kubectl.secret(&secret, "username")?;
    ensure!(new == "rates_b", "the login is {new}");
    let pod = format!("{secret}-0");
    until("the old login is shut", PATIENCE, || {
        let entered = environment.kubectl.run([
            "exec", &pod, "-c", "postgres", "--", "psql", &old, "-c", "SELECT 1",
        ]);
        Ok(match entered {
            Err(_) => Look::Holds(()),
            Ok(_) => Look::NotYet("it still opens the database".to_owned()),
        })
    })?;
    ensure!(environment.psql("SELECT current_user")? == "rates_b");
    Ok(())
}

fn rotate(environment: &Environment) -> Result<()> {
    let renv = format!("renv/{}", environment.name);
    environment
        .kubectl
        .run(["annotate", &renv, "rates.internal/rotate-password=once"])?;
    wait_for(environment, "the rotation began", |object| {
        object["status"]["database"]["rotation"].is_string()
    })?;
    wait_for(environment, "the rotation ended", |object| {
        object["status"]["database"]["rotation"].is_null() && object["status"]["phase"] == "Ready"
    })
}

fn changes_parameters() -> Result<()> {
    let environment = Environment::new("parameters")?;
    environment.apply(&spec(
        &json!({"work_mem": "5MB", "shared_buffers": "24MB"}),
        false,
    ))?;
    environment.wait_ready()?;
    let pod = || -> Result<Value> {
        let pod = environment
            .kubectl
            .get("pod", &format!("{}-postgres-0", environment.name))?;
        Ok(pod.unwrap_or_default()["metadata"]["uid"].clone())
    };
    let is = |name: &str, value: &str| {
        until(format_args!("{name} is {value}"), PATIENCE, || {
            // Between two servers nobody answers.
            let shown = environment.psql(&format!("SHOW {name}")).unwrap_or_default();
            Ok(if shown == value {
                Look::Holds(())
            } else {
                Look::NotYet(shown)
            })
        })
    };
    is("shared_buffers", "24MB")?;
    let first = pod()?;
    environment.apply(&spec(
        &json!({"work_mem": "6MB", "shared_buffers": "24MB"}),
        false,
    ))?;
    is("work_mem", "6MB")?;
    ensure!(pod()? == first, "a restart that was not needed");
    environment.apply(&spec(
        &json!({"work_mem": "6MB", "shared_buffers": "40MB"}),
        false,
    ))?;
    is("shared_buffers", "40MB")?;
    let second = pod()?;
    ensure!(second != first);
    wait_for(&environment, "nothing waits for a restart", |object| {
        object["status"]["database"]["pendingRestart"].is_null() && object["status"]["phase"] == "Ready"
    })?;
    ensure!(pod()? == second, "restarted more than once");
    Ok(())
}

fn suspends() -> Result<()> {
    let environment = Environment::new("suspended")?;
    environment.apply(&spec(&json!({}), false))?;
    environment.wait_ready()?;
    let seed = environment.object()?["status"]["database"]["seed"].clone();
    environment.apply(&spec(&json!({}), true))?;
    wait_for(&environment, "it is suspended", |object| {
        object["status"]["phase"] == "Suspended"
    })?;
    let selector = format!("app.kubernetes.io/instance={}", environment.name);
    let pods = environment.kubectl.list("pods", &selector)?;
    // Those of Jobs that did their work may stay for their logs.
    let running = pods
        .iter()
        .filter(|pod| pod["status"]["phase"] != "Succeeded")
        .count();
    ensure!(running == 0, "{running} pods are left");
    environment.apply(&spec(&json!({}), false))?;
    environment.wait_ready()?;
    ensure!(answers(&environment)?, "the data are others");
    ensure!(environment.object()?["status"]["database"]["seed"] == seed);
    Ok(())
}
