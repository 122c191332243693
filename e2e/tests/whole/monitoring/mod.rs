//! Monitoring on a real cluster: Prometheus scrapes all of an environment, every expression of the rules and dashboards
//! finds what it asks for, the ladder is shown in a terminal and in a browser, nothing fires while nothing is wrong, and a
//! fault fires its alert and no other.

mod browser;
mod expressions;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use client::environment::{Environment, PATIENCE};
use client::monitoring::Monitoring;
use client::prometheus::Prometheus;
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::json;

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "monitoring::sees_all_of_an_environment_and_tells_a_fault_from_quiet",
        sees_all,
    )]
}

/// The one alert that need not hold for its five minutes first.
const EARLY: &str = "RatesStandbyMissing";

const DISK: &str = "RatesVolumeFills";

/// As long as nothing is done to the environment.
const QUIET: Duration = Duration::from_mins(2);

fn sees_all() -> Result<()> {
    let started = Instant::now();
    let step = |what: &str| println!("monitoring: {what} after {} s", started.elapsed().as_secs());
    let stage = Monitoring::install(&[EARLY])?;
    let environment = Environment::new("watched")?;
    environment.apply(&json!({
        "profile": "Staging",
        // Processors have a limit, so that all that is measured against it is there.
        "database": {
            "instances": 2,
            "storage": {"size": "1Gi"},
            "seed": {"bundled": {}},
            "resources": {"limits": {"cpu": "2"}},
        },
        "api": {"replicas": 1, "resources": {"limits": {"cpu": "1"}}},
        // The cluster has no Prometheus operator.
        "monitoring": {"podMonitor": false},
    }))?;
    environment.wait_ready()?;
    environment.wait_condition("HighlyAvailable", "True")?;
    let quiet_since = Instant::now();
    step("Ready");
    let prometheus = stage.prometheus()?;
    every_target_is_up(&prometheus, &environment)?;
    step("every target is up");
    a_batch(&environment)?;
    let client = environment.client()?;
    expressions::have_data(&prometheus, &environment, || {
        client
            .rates("CNGGZ", "EETLL", "2021-01-01", "2021-01-31")
            .map(drop)
    })?;
    step("every expression has data");
    the_ladder_is_shown_in_a_terminal(&prometheus, &environment)?;
    browser::shows_the_ladder(&prometheus, &environment)?;
    step("the ladder is shown");
    nothing_fires(&stage, &environment, quiet_since)?;
    step("nothing has fired");
    a_frozen_standby_fires_its_alert_alone(&stage, &environment)?;
    step("the alert of a frozen standby has fired");
    Ok(())
}

/// How many targets each job has, of this environment or of the whole cluster.
fn every_target_is_up(prometheus: &Prometheus, environment: &Environment) -> Result<()> {
    let namespace = environment.kubectl.namespace();
    until("every target is up", PATIENCE, || {
        let targets = prometheus.targets()?;
        let mut problems = Vec::new();
        for (job, of_environment, least) in [
            ("rates-api", true, 1),
            ("rates-postgres", true, 2),
            ("rates-patroni", true, 2),
            ("rates-operator", false, 1),
            // Two paths of each node.
            ("kubelet", false, 4),
            ("prometheus", false, 1),
            ("alertmanager", false, 1),
        ] {
            let of_job: Vec<_> = targets
                .iter()
                .filter(|target| target.labels["job"] == job)
                .filter(|target| !of_environment || target.labels["namespace"] == namespace)
                .collect();
            if of_job.len() < least {
                problems.push(format!("{job} has {} of {least} targets", of_job.len()));
            }
            for target in of_job {
                if target.health != "up" {
                    problems.push(format!(
                        "{job} {}: {} {}",
                        target.url, target.health, target.error
                    ));
                }
                ensure!(
                    !of_environment || target.labels["environment"] == environment.name.as_str(),
                    "{job} {} is of no environment: {}",
                    target.url,
                    target.labels
                );
            }
        }
        Ok(if problems.is_empty() {
            Look::Holds(())
        } else {
            Look::NotYet(problems.join("; "))
        })
    })
}

/// So that what is counted of batches exists.
fn a_batch(environment: &Environment) -> Result<()> {
    let client = environment.client()?;
    let csv = "orig_code,dest_code,day,price\nCNGGZ,EETLL,2021-01-31,1154\n";
    let response = client.post_csv(&environment.ingest_token()?, &[], csv)?;
    ensure!(response.status == 201, "{} {}", response.status, response.body);
    Ok(())
}

/// By the plugin, as kubectl finds it on PATH.
fn the_ladder_is_shown_in_a_terminal(prometheus: &Prometheus, environment: &Environment) -> Result<()> {
    // kubectl takes no flag before the name of a plugin.
    let top = |name: &str| {
        let namespace = environment.kubectl.namespace();
        let output = Command::new("kubectl")
            .args([
                "renv",
                "top",
                name,
                "--namespace",
                namespace,
                "--prometheus",
                prometheus.address(),
            ])
            .output()
            .context("cannot start kubectl")?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let shown = top(&environment.name)?;
    println!("{shown}");
    let rungs = shown
        .lines()
        .filter(|line| line.contains(" %") && (line.contains('█') || line.contains('░')));
    ensure!(rungs.count() == 9, "not nine rungs with bars:\n{shown}");
    let absent = top("nobody").err().context("a ladder of nobody")?;
    ensure!(
        format!("{absent:#}").contains("there is no RatesEnvironment nobody"),
        "{absent:#}"
    );
    Ok(())
}

/// Neither while it was looked at, nor now.
fn nothing_fires(stage: &Monitoring, environment: &Environment, since: Instant) -> Result<()> {
    let prometheus = stage.prometheus()?;
    let namespace = environment.kubectl.namespace();
    until("the quiet stretch is over", QUIET * 2, || {
        Ok(if since.elapsed() >= QUIET {
            Look::Holds(())
        } else {
            Look::NotYet(format!("{} s", since.elapsed().as_secs()))
        })
    })?;
    // The local cluster's volumes are on the machine's own disk: how full that is says nothing of the environment.
    let fired = prometheus.query(&format!(
        "count_over_time(ALERTS{{alertstate=\"firing\", namespace=\"{namespace}\", alertname!=\"{DISK}\"}}[{}s])",
        since.elapsed().as_secs()
    ))?;
    ensure!(fired.is_empty(), "nothing was wrong, and these fired: {fired:?}");
    let alerts = alerts(stage, namespace)?;
    ensure!(alerts.is_empty(), "Alertmanager has {alerts:?}");
    Ok(())
}

fn alerts(stage: &Monitoring, namespace: &str) -> Result<Vec<String>> {
    let mut alerts = stage.alerts(namespace)?;
    alerts.retain(|alert| alert != DISK);
    Ok(alerts)
}

/// All processes of a standby's container stop, but for the first, which cannot be stopped from inside.
fn a_frozen_standby_fires_its_alert_alone(stage: &Monitoring, environment: &Environment) -> Result<()> {
    let standbys = environment.kubectl.list(
        "pods",
        &format!(
            "app.kubernetes.io/instance={},rates.internal/role=replica",
            environment.name
        ),
    )?;
    let standby = standbys
        .first()
        .and_then(|pod| pod["metadata"]["name"].as_str())
        .context("there is no standby")?;
    let stop = [
        "exec",
        standby,
        "--container",
        "postgres",
        "--",
        "sh",
        "-c",
        "kill -STOP -1",
    ];
    environment.kubectl.run(stop)?;
    let namespace = environment.kubectl.namespace();
    let fired = until("Alertmanager has an alert", PATIENCE, || {
        let alerts = alerts(stage, namespace)?;
        Ok(if alerts.is_empty() {
            Look::NotYet("none".to_owned())
        } else {
            Look::Holds(alerts)
        })
    })?;
    ensure!(fired == [EARLY], "{fired:?}");
    Ok(())
}
