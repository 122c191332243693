//! What a running database goes through that is no fault, with three instances: a parameter that needs a restart, new
//! passwords, a new volume, sleep, and deletion with `retain`.
//!
//! One environment goes through all of it, as three instances take long to come. After each change it is highly
//! available again, and every instance has the row that was written at the beginning.

use anyhow::{Context as _, Result, ensure};
use client::environment::{Environment, PATIENCE, condition};
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "three_instances::keep_their_data_through_restarts_passwords_volumes_sleep_and_retain",
        keep_their_data,
    )]
}

const INSTANCES: usize = 3;
/// No seed holds it.
const MARK: &str = "INSERT INTO prices (orig_code, dest_code, day, price) \
                    SELECT min(code), max(code), DATE '2021-01-01', 4711 FROM ports";
const MARKS: &str = "SELECT count(*) FROM prices WHERE price = 4711";

fn keep_their_data() -> Result<()> {
    let environment = Environment::new("three")?;
    environment.apply(&spec("60", false))?;
    environment.wait_ready()?;
    environment.psql(MARK)?;
    whole(&environment, "60")?;

    // More connections than the standbys have: they have to get them first.
    environment.apply(&spec("70", false))?;
    whole(&environment, "70").context("after a parameter was raised")?;
    environment.apply(&spec("50", false))?;
    whole(&environment, "50").context("after a parameter was lowered")?;

    annotate(&environment, "rates.internal/rotate-password=once")?;
    until("the application has another login", PATIENCE, || {
        let login = environment.kubectl.secret("three-postgres", "username")?;
        Ok(if login == "rates_b" {
            Look::Holds(())
        } else {
            Look::NotYet(login)
        })
    })?;
    whole(&environment, "50").context("after the password was rotated")?;

    annotate(&environment, "rates.internal/rotate-replication-password=once")?;
    told(&environment, "ReplicationPasswordRotated")?;
    whole(&environment, "50").context("after the password of the replication was rotated")?;

    // A copy that is made anew needs the new password.
    let standby = standby(&environment)?;
    let before = volume(&environment, &standby)?;
    annotate(&environment, &format!("rates.internal/replace={standby}"))?;
    told(&environment, "InstanceReplaced")?;
    whole(&environment, "50").context("after a volume was replaced")?;
    ensure!(
        volume(&environment, &standby)? != before,
        "{standby} kept its volume"
    );

    environment.apply(&spec("50", true))?;
    until("it is suspended", PATIENCE, || {
        let object = environment.object()?;
        let pods = environment.kubectl.list("pods", POSTGRES)?;
        Ok(if object["status"]["phase"] == "Suspended" && pods.is_empty() {
            Look::Holds(())
        } else {
            Look::NotYet(object["status"].to_string())
        })
    })?;
    environment.apply(&spec("50", false))?;
    whole(&environment, "50").context("after it was suspended and resumed")?;

    let volumes = volumes(&environment)?;
    environment.kubectl.run(["delete", "renv/three", "--wait=true"])?;
    until("its pods are gone", PATIENCE, || {
        let pods = environment.kubectl.list("pods", POSTGRES)?;
        Ok(if pods.is_empty() {
            Look::Holds(())
        } else {
            Look::NotYet(format!("{} are left", pods.len()))
        })
    })?;
    environment.apply(&spec("50", false))?;
    whole(&environment, "50").context("after it was deleted and made again")?;
    ensure!(self::volumes(&environment)? == volumes, "it has other volumes");
    ensure!(
        environment.psql("SELECT count(*) FROM rates_internal.seed")? == "1",
        "seeded once"
    );
    Ok(())
}

const POSTGRES: &str = "app.kubernetes.io/component=postgres";

fn spec(max_connections: &str, suspend: bool) -> Value {
    json!({
        "profile": "Preview",
        "database": {
            "instances": INSTANCES,
            "storage": {"retain": true},
            "seed": {"bundled": {}},
            "parameters": {"max_connections": max_connections},
        },
        "suspend": suspend,
    })
}

/// Waits until it is highly available and every instance has the parameter and the row.
fn whole(environment: &Environment, max_connections: &str) -> Result<()> {
    until("all three instances are whole", PATIENCE, || {
        let object = environment.object()?;
        let status = &object["status"];
        let current = object["metadata"]["generation"] == status["observedGeneration"];
        let available = condition(&object, "HighlyAvailable");
        let database = &status["database"];
        let whole = current
            && status["phase"] == "Ready"
            && available["status"] == "True"
            && database["readyInstances"] == INSTANCES
            && database["pendingRestart"].is_null()
            && database["rotation"].is_null();
        if !whole {
            return Ok(Look::NotYet(status.to_string()));
        }
        for pod in environment.kubectl.list("pods", POSTGRES)? {
            let pod = name(&pod)?.to_owned();
            let found = environment.kubectl.psql_as_superuser(
                &pod,
                "rates",
                &format!("SHOW max_connections; {MARKS}"),
            )?;
            if found != format!("{max_connections}\n1") {
                return Ok(Look::NotYet(format!("{pod}: {found:?}")));
            }
        }
        Ok(Look::Holds(()))
    })
}

fn annotate(environment: &Environment, annotation: &str) -> Result<()> {
    let object = format!("renv/{}", environment.name);
    environment
        .kubectl
        .run(["annotate", &object, annotation])
        .map(drop)
}

/// Waits for an Event of the environment.
fn told(environment: &Environment, reason: &str) -> Result<()> {
    let selector = format!("reason={reason}");
    until(format_args!("the Event {reason}"), PATIENCE, || {
        let events =
            environment
                .kubectl
                .run(["get", "events", "--field-selector", &selector, "-o", "name"])?;
        Ok(if events.trim().is_empty() {
            Look::NotYet("no such Event".to_owned())
        } else {
            Look::Holds(())
        })
    })
}

fn standby(environment: &Environment) -> Result<String> {
    let object = environment.object()?;
    let primary = object["status"]["database"]["primary"]
        .as_str()
        .context("the status names no primary")?;
    for pod in environment.kubectl.list("pods", POSTGRES)? {
        let pod = name(&pod)?;
        if pod != primary {
            return Ok(pod.to_owned());
        }
    }
    anyhow::bail!("no pod but the primary {primary}")
}

/// The claims' names and `uid`s.
fn volumes(environment: &Environment) -> Result<Vec<String>> {
    let mut claims = Vec::new();
    for claim in environment.kubectl.list("persistentvolumeclaims", POSTGRES)? {
        claims.push(format!("{} {}", name(&claim)?, claim["metadata"]["uid"]));
    }
    claims.sort();
    ensure!(claims.len() == INSTANCES, "{claims:?}");
    Ok(claims)
}

fn volume(environment: &Environment, pod: &str) -> Result<String> {
    let claim = format!("data-{pod} ");
    let claims = volumes(environment)?;
    let found = claims.iter().find(|found| found.starts_with(&claim));
    found.cloned().with_context(|| format!("{pod} has no claim"))
}

fn name(object: &Value) -> Result<&str> {
    object["metadata"]["name"].as_str().context("without a name")
}
