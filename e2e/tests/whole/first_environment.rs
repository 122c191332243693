//! The README's first environment: applied, Ready, answering; and how long each part took.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use client::environment::{Environment, PATIENCE, bundled_rate, condition};
use client::kubectl::Kubectl;
use client::wait::{Look, until, until_measured};
use libtest_mimic::Trial;
use serde_json::json;

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "first_environment::is_ready_and_says_in_how_many_seconds",
            is_ready_and_says_in_how_many_seconds,
        ),
        trial(
            "first_environment::of_the_samples_answers_and_prints_its_state",
            of_the_samples_answers,
        ),
        trial(
            "first_environment::is_explained_by_kubectl",
            is_explained_by_kubectl,
        ),
    ]
}

/// The parts, in the order in which they come.
const PARTS: [&str; 5] = ["volume", "database up", "seed", "migration", "API"];

fn is_ready_and_says_in_how_many_seconds() -> Result<()> {
    let environment = Environment::new("measured")?;
    let started = Instant::now();
    environment.apply(&json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}}))?;
    let mut parts = [None; PARTS.len()];
    let total = until_measured("Ready, with every part", PATIENCE, || {
        let now = started.elapsed();
        let object = environment.object()?;
        let claim = environment
            .kubectl
            .get("persistentvolumeclaim", "data-measured-postgres-0")?;
        let holds = |kind| condition(&object, kind)["status"] == "True";
        let bound = claim.is_some_and(|claim| claim["status"]["phase"] == "Bound");
        let seen = [
            bound,
            holds("DatabaseReady"),
            holds("Seeded"),
            holds("Migrated"),
            holds("ApiAvailable"),
        ];
        for (part, seen) in parts.iter_mut().zip(seen) {
            if seen && part.is_none() {
                *part = Some(now);
            }
        }
        if holds("Ready") {
            Ok(Look::Holds(now))
        } else {
            Ok(Look::NotYet(object["status"].to_string()))
        }
    })?;
    let mut before = Duration::ZERO;
    let mut line = format!("kubectl apply to Ready: {:.1} s", total.as_secs_f64());
    for (name, at) in PARTS.iter().zip(parts) {
        let at = at.with_context(|| format!("Ready, but {name} never was"))?;
        write!(line, "; {name} {:.1}", at.saturating_sub(before).as_secs_f64())?;
        before = at.max(before);
    }
    println!("{line}");
    Ok(())
}

fn of_the_samples_answers() -> Result<()> {
    let kubectl = Kubectl::new("default");
    let sample = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../manifests/samples/development.yaml"
    );
    kubectl.run(["apply", "-f", sample])?;
    kubectl.run([
        "wait",
        "--for=condition=Ready",
        "renv/development",
        "--timeout=240s",
    ])?;

    let rates = client::service::client(&kubectl, "development-api")?.rates(
        "CNGGZ",
        "EETLL",
        "2021-01-01",
        "2021-01-31",
    )?;
    ensure!(rates.len() == 31, "{} days instead of 31", rates.len());
    ensure!(rates[0] == bundled_rate(), "{}", rates[0]);
    ensure!(
        rates[30]["day"] == "2021-01-01",
        "the oldest day is last: {}",
        rates[30]
    );

    let table = kubectl.run(["get", "renv"])?;
    println!("{table}");
    for column in ["PHASE", "SEED", "URL", "AGE"] {
        ensure!(table.contains(column), "no column {column} in\n{table}");
    }
    ensure!(
        table.contains("http://development-api.default.svc"),
        "no address in\n{table}"
    );

    kubectl.run(["delete", "renv/development", "--wait=true"])?;
    until("everything of development is gone", PATIENCE, || {
        let left = kubectl.list(
            "statefulsets,deployments,jobs,pods,services,secrets,configmaps,persistentvolumeclaims",
            "app.kubernetes.io/instance=development",
        )?;
        let left: Vec<String> = left.iter().map(client::environment::label).collect();
        if left.is_empty() {
            Ok(Look::Holds(()))
        } else {
            Ok(Look::NotYet(left.join(" ")))
        }
    })
}

fn is_explained_by_kubectl() -> Result<()> {
    let explained = Kubectl::new("default").run(["explain", "renv.spec.database", "--recursive=false"])?;
    for field in ["version", "storage", "seed", "instances"] {
        ensure!(explained.contains(field), "nothing about {field} in\n{explained}");
    }
    let descriptions = explained.matches("<no description>").count();
    ensure!(
        descriptions == 0,
        "{descriptions} fields without a description in\n{explained}"
    );
    Ok(())
}
