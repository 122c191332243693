//! What can be changed of a running environment, and when the change has arrived.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::subject::{PATIENCE, Subject};
use crate::Load;
use client::wait::{Look, until};

#[derive(Clone, Debug)]
pub enum Change {
    /// `None`: the operator's own.
    Image(Option<String>),
    /// A setting of the API: its name in `spec.api.config`, and its value.
    Config(&'static str, Value),
    Password,
    Token,
    /// From two pods to so many, by the autoscaler.
    ScaleUp(u32),
    /// Down to two again.
    ScaleDown,
    /// Back to a fixed number.
    Fixed(u32),
    /// A parameter that only a restart of the server brings into force.
    Parameter(&'static str, Value),
    /// Its pod is deleted, and has its time to end.
    DatabasePod,
    /// All its processes end at once.
    DatabaseCrash,
    /// The node without the database is emptied, and used again afterwards.
    Drain,
}

/// What may happen during a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing fails.
    Nothing,
    /// No read fails; batches may be answered with 503, and pass when they are sent again.
    InterruptedBatches,
}

impl Change {
    #[must_use]
    pub fn expected(&self) -> Expected {
        match self {
            Self::Parameter(..) | Self::DatabasePod | Self::DatabaseCrash => Expected::InterruptedBatches,
            _ => Expected::Nothing,
        }
    }

    /// Makes the change and waits until all of it has arrived.
    pub fn make(&self, subject: &mut Subject, load: &Load) -> Result<()> {
        let before = subject.pod_names()?;
        match self {
            Self::Image(image) => {
                subject.set("/api/image", json!(image))?;
                subject.replaces(&before)?;
            }
            Self::Config(name, value) => {
                subject.set(&format!("/api/config/{name}"), value.clone())?;
                subject.replaces(&before)?;
            }
            Self::Password => {
                let annotation = format!("rates.internal/rotate-password={}", fastrand::u32(..));
                subject.annotate(&annotation)?;
                subject.replaces(&before)?;
            }
            Self::Token => rotate_token(subject, load)?,
            Self::ScaleUp(to) => {
                scale(subject, 1, *to)?;
                subject.scaled_to(*to)?;
            }
            Self::ScaleDown => {
                scale(subject, 1000, MOST)?;
                subject.scaled_to(LEAST)?;
            }
            Self::Fixed(replicas) => {
                subject.set("/api/autoscaling", Value::Null)?;
                subject.set("/api/replicas", json!(replicas))?;
                subject.scaled_to(*replicas)?;
            }
            Self::Parameter(name, value) => {
                let restarted = database_pod(subject)?;
                subject.set(&format!("/database/parameters/{name}"), value.clone())?;
                replaced(subject, &restarted)?;
            }
            Self::DatabasePod => {
                let pod = format!("{}-postgres-0", subject.name());
                let deleted = database_pod(subject)?;
                let arguments = ["delete", "pod", &pod, "--wait=false"];
                subject.environment.kubectl.run(arguments)?;
                replaced(subject, &deleted)?;
            }
            Self::DatabaseCrash => {
                let pod = format!("{}-postgres-0", subject.name());
                // Its own shell ends with the rest.
                let _ = subject.environment.kubectl.crash_database(&pod);
                until("the database answers again", PATIENCE, || {
                    subject.environment.psql("SELECT 1").map(Look::Holds)
                })?;
            }
            Self::Drain => drain(subject)?,
        }
        subject.settled()
    }
}

/// The autoscaler's bounds.
const LEAST: u32 = 2;
const MOST: u32 = 4;

/// A target in percent of the CPU that its use is always above, or never, takes the number to a bound at once.
fn scale(subject: &mut Subject, target: u32, max: u32) -> Result<()> {
    subject.set("/api/replicas", Value::Null)?;
    subject.set(
        "/api/autoscaling",
        json!({
            "minReplicas": LEAST,
            "maxReplicas": max,
            "targetCPUUtilizationPercentage": target,
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": {"stabilizationWindowSeconds": 0},
            },
        }),
    )
}

fn rotate_token(subject: &Subject, load: &Load) -> Result<()> {
    let before = subject.environment.ingest_token()?;
    subject.annotate(&format!(
        "rates.internal/rotate-ingest-token={}",
        fastrand::u32(..)
    ))?;
    let token = until("another token is published", PATIENCE, || {
        let token = subject.environment.ingest_token()?;
        Ok(if token == before {
            Look::NotYet("the one before".to_owned())
        } else {
            Look::Holds(token)
        })
    })?;
    load.set_token(token);
    Ok(())
}

fn database_pod(subject: &Subject) -> Result<Value> {
    let pod = subject
        .environment
        .kubectl
        .get("pod", &format!("{}-postgres-0", subject.name()))?;
    Ok(pod.context("no database pod")?["metadata"]["uid"].clone())
}

fn replaced(subject: &Subject, before: &Value) -> Result<()> {
    until("another database pod answers", PATIENCE, || {
        if database_pod(subject)? == *before {
            return Ok(Look::NotYet("the pod from before".to_owned()));
        }
        subject.environment.psql("SELECT 1").map(Look::Holds)
    })?;
    Ok(())
}

fn drain(subject: &Subject) -> Result<()> {
    let kubectl = &subject.environment.kubectl;
    let names = kubectl.run(["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"])?;
    let database = subject.database_node()?;
    let node = names
        .split_whitespace()
        .find(|node| *node != database)
        .context("there is no node without the database")?;
    ensure!(
        subject.pods()?.iter().any(|pod| pod["spec"]["nodeName"] == node),
        "{node} has no pod of the API: to drain it shows nothing"
    );
    let drained = kubectl.run([
        "drain",
        node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--timeout=240s",
    ]);
    let settled = drained.and_then(|_| subject.settled());
    kubectl.run(["uncordon", node])?;
    settled?;
    let pods = subject.pods()?;
    ensure!(
        pods.iter().all(|pod| pod["spec"]["nodeName"] != node),
        "{node} was drained and has pods of the API"
    );
    Ok(())
}
