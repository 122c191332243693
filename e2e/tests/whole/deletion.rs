//! Deletion leaves nothing; `retain` leaves the data and the way into it.

use std::time::Duration;

use anyhow::{Result, ensure};
use client::environment::{Environment, PATIENCE};
use client::kubectl::Kubectl;
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "deletion::of_a_retained_environment_keeps_data_and_password",
            retained_data_is_found_again,
        ),
        trial(
            "deletion::of_the_namespace_ends_by_itself",
            of_the_namespace_ends_by_itself,
        ),
    ]
}

/// Held against a time, so it runs while nothing else does.
pub fn measured() -> Trial {
    trial(
        "deletion::leaves_no_object_and_no_volume",
        leaves_no_object_and_no_volume,
    )
}

/// After `kubectl delete`, everything is gone within this time.
const GONE_WITHIN: Duration = Duration::from_secs(30);

fn leaves_no_object_and_no_volume() -> Result<()> {
    let environment = Environment::new("leaving")?;
    environment.apply(&json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}}))?;
    environment.wait_ready()?;
    ensure!(
        !volumes(&environment)?.is_empty(),
        "a running environment has a volume"
    );

    let object = format!("renv/{}", environment.name);
    environment.kubectl.run(["delete", &object, "--wait=false"])?;
    until("nothing of it is left", GONE_WITHIN, || {
        let mut left = environment.objects()?;
        left.extend(volumes(&environment)?);
        left.extend(strays(&environment)?);
        if left.is_empty() {
            Ok(Look::Holds(()))
        } else {
            Ok(Look::NotYet(left.join(" ")))
        }
    })
}

/// `PersistentVolumes` that are bound to the environment's claims. The provisioner
/// deletes the volume's directory before the object.
fn volumes(environment: &Environment) -> Result<Vec<String>> {
    let all: Value =
        serde_json::from_str(
            &environment
                .kubectl
                .run(["get", "persistentvolumes", "-o", "json"])?,
        )?;
    Ok(all["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|volume| volume["spec"]["claimRef"]["namespace"] == environment.kubectl.namespace())
        .map(client::environment::label)
        .collect())
}

/// Objects without the label, by the environment's name: nothing may hide from a label selector.
fn strays(environment: &Environment) -> Result<Vec<String>> {
    let prefix = format!("{}-", environment.name);
    let kinds = "statefulsets,deployments,jobs,pods,services,secrets,configmaps,persistentvolumeclaims,\
                 serviceaccounts,roles,rolebindings,leases,endpoints,endpointslices,controllerrevisions";
    let names = environment.kubectl.run(["get", kinds, "-o", "name"])?;
    Ok(names
        .lines()
        .filter(|line| {
            line.split_once('/')
                .is_some_and(|(_, name)| name.starts_with(&prefix))
        })
        .map(str::to_owned)
        .collect())
}

fn retained_data_is_found_again() -> Result<()> {
    let environment = Environment::new("keeping")?;
    let spec =
        json!({"profile": "Preview", "database": {"storage": {"retain": true}, "seed": {"bundled": {}}}});
    environment.apply(&spec)?;
    environment.wait_ready()?;
    let prices = "SELECT count(*) FROM prices";
    let seeded: u64 = environment.psql(prices)?.parse()?;
    // A row that no seed holds tells the kept data from a second seeding.
    environment.psql(
        "INSERT INTO prices (orig_code, dest_code, day, price) \
         SELECT min(code), max(code), DATE '2021-01-01', 4711 FROM ports",
    )?;
    let password = environment.kubectl.secret("keeping-postgres", "password")?;

    environment
        .kubectl
        .run(["delete", "renv/keeping", "--wait=true"])?;
    until("the pods are gone and the rest is kept", PATIENCE, || {
        let left = environment.objects()?;
        let running = left.iter().any(|name| {
            !["PersistentVolumeClaim/", "Secret/"]
                .iter()
                .any(|kept| name.starts_with(kept))
        });
        if running {
            Ok(Look::NotYet(left.join(" ")))
        } else {
            Ok(Look::Holds(()))
        }
    })?;
    let kept = environment.objects()?;
    for name in [
        "PersistentVolumeClaim/data-keeping-postgres-0",
        "Secret/keeping-postgres",
    ] {
        ensure!(
            kept.iter().any(|object| object == name),
            "{name} was not kept; left: {kept:?}"
        );
    }

    environment.apply(&spec)?;
    environment.wait_ready()?;
    ensure!(
        environment.kubectl.secret("keeping-postgres", "password")? == password,
        "the password changed"
    );
    let found: u64 = environment.psql(prices)?.parse()?;
    ensure!(
        found == seeded + 1,
        "{found} prices, expected the kept {}",
        seeded + 1
    );
    ensure!(
        environment.psql("SELECT count(*) FROM rates_internal.seed")? == "1",
        "seeded once"
    );
    Ok(())
}

fn of_the_namespace_ends_by_itself() -> Result<()> {
    let environment = Environment::new("namespaced")?;
    environment.apply(&json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}}))?;
    environment.wait_condition("DatabaseReady", "True")?;
    let namespace = environment.kubectl.namespace().to_owned();
    Kubectl::new("default").run(["delete", "namespace", &namespace, "--wait=true", "--timeout=180s"])?;
    Ok(())
}
