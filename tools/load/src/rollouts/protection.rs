//! What protects a rollout, taken away: the test has to see the loss that it prevents.
//!
//! The operator would put it back, so it rests meanwhile.

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::subject::Subject;
use client::kubectl::Kubectl;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Protection {
    /// The pod serves on while the proxies still lead to it.
    PreStop,
    /// What is under way is finished, and connections end after an answer.
    Drain,
    /// A pod counts once it can answer.
    ReadinessGate,
}

const OPERATOR: &str = "deployment/rates-operator";

impl Protection {
    pub const ALL: [Self; 3] = [Self::PreStop, Self::Drain, Self::ReadinessGate];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PreStop => "no preStop",
            Self::Drain => "no drain",
            Self::ReadinessGate => "no readiness gate",
        }
    }

    /// Requests a second at which the loss shows. A server that is asked all the time goes on serving after SIGTERM
    /// by itself; without `preStop` those are lost whose pod had a quiet second.
    #[must_use]
    pub fn rate(self, usual: f64) -> f64 {
        match self {
            Self::PreStop => 2.0,
            Self::Drain | Self::ReadinessGate => usual,
        }
    }

    /// Takes it away, from the Deployment alone. The rollout that this is, is the first one without it. `slow` is an
    /// image that takes long to start: without a gate that is what counts.
    pub fn remove(self, subject: &Subject, slow: &str) -> Result<Removed> {
        let deployment = subject
            .environment
            .kubectl
            .get("deployment", &subject.deployment())?
            .context("no Deployment")?;
        let removed = Removed {
            containers: deployment["spec"]["template"]["spec"]["containers"].clone(),
            min_ready: deployment["spec"]["minReadySeconds"].clone(),
        };
        let variables = &removed.containers[0]["env"];
        let patch = match self {
            Self::PreStop => json!([remove("lifecycle")]),
            Self::Drain => {
                let names = [
                    "RATES_DRAIN_SECONDS",
                    "RATES_DRAIN_QUIET_SECONDS",
                    "RATES_DRAIN_IDLE_SECONDS",
                ];
                let mut variables = variables.as_array().cloned().unwrap_or_default();
                variables.retain(|variable| !names.iter().any(|name| variable["name"] == **name));
                variables.extend(names.iter().map(|name| json!({"name": name, "value": "0"})));
                json!([replace("env", &json!(variables))])
            }
            Self::ReadinessGate => json!([
                remove("startupProbe"),
                remove("readinessProbe"),
                // It would end a container that starts slowly.
                remove("livenessProbe"),
                replace("image", &json!(slow)),
                {"op": "replace", "path": "/spec/minReadySeconds", "value": 0},
            ]),
        };
        patch_deployment(subject, &patch)?;
        Ok(removed)
    }

    /// Another rollout of the Deployment as it is.
    pub fn restart(subject: &Subject) -> Result<()> {
        let target = format!("deployment/{}", subject.deployment());
        let kubectl = &subject.environment.kubectl;
        kubectl.run(["rollout", "restart", &target])?;
        Self::rolled_out(subject)
    }

    pub fn rolled_out(subject: &Subject) -> Result<()> {
        let target = format!("deployment/{}", subject.deployment());
        let kubectl = &subject.environment.kubectl;
        kubectl.run(["rollout", "status", &target, "--timeout=300s"])?;
        client::wait::until("the old pods have gone", super::subject::PATIENCE, || {
            let pods = subject.pods()?;
            let ending = pods
                .iter()
                .filter(|pod| pod["metadata"]["deletionTimestamp"].is_string())
                .count();
            Ok(if ending == 0 {
                client::wait::Look::Holds(())
            } else {
                client::wait::Look::NotYet(format!("{ending} pods are ending"))
            })
        })
    }
}

/// The Deployment as it was with all protections. The operator leaves alone what others add to it.
pub struct Removed {
    containers: Value,
    min_ready: Value,
}

impl Removed {
    pub fn put_back(self, subject: &Subject) -> Result<()> {
        let patch = json!([
            {"op": "replace", "path": "/spec/template/spec/containers", "value": self.containers},
            {"op": "replace", "path": "/spec/minReadySeconds", "value": self.min_ready},
        ]);
        patch_deployment(subject, &patch)?;
        Protection::rolled_out(subject)
    }
}

fn patch_deployment(subject: &Subject, patch: &Value) -> Result<()> {
    let (name, patch) = (subject.deployment(), patch.to_string());
    let arguments = ["patch", "deployment", &name, "--type=json", "--patch", &patch];
    subject.environment.kubectl.run(arguments).map(drop)
}

/// The operator rests as long as this lives.
pub struct Rest {
    replicas: String,
}

impl Rest {
    pub fn begin() -> Result<Self> {
        let kubectl = Kubectl::new("rates-system");
        let replicas = kubectl.run(["get", OPERATOR, "-o", "jsonpath={.spec.replicas}"])?;
        kubectl.run(["scale", OPERATOR, "--replicas=0"])?;
        let rest = Self { replicas };
        kubectl.run([
            "wait",
            "--for=delete",
            "pod",
            "--selector=app.kubernetes.io/name=rates-operator",
            "--timeout=120s",
        ])?;
        Ok(rest)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let replicas = format!("--replicas={}", self.replicas);
        // A test that goes on without the operator says so by itself.
        let _ = Kubectl::new("rates-system").run(["scale", OPERATOR, &replicas]);
    }
}

fn remove(member: &str) -> Value {
    json!({"op": "remove", "path": format!("/spec/template/spec/containers/0/{member}")})
}

fn replace(member: &str, value: &Value) -> Value {
    json!({"op": "replace", "path": format!("/spec/template/spec/containers/0/{member}"), "value": value})
}
