//! Prometheus and Alertmanager on the cluster, installed by objects that `cargo xtask` wrote, and gone when this is dropped.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::http::Client;
use crate::kubectl::Kubectl;
use crate::prometheus::Prometheus;
use crate::service;

const NAMESPACE: &str = "monitoring";

pub struct Monitoring {
    kubectl: Kubectl,
}

impl Monitoring {
    /// Installs both and waits until they answer. These alerts fire at once, and need not hold for their time first.
    pub fn install(early: &[&str]) -> Result<Self> {
        let file = std::env::var("RATES_E2E_MONITORING")
            .context("RATES_E2E_MONITORING must name the objects: cargo xtask test writes them")?;
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let mut objects: Value = serde_json::from_str(&text).with_context(|| format!("{file} is no JSON"))?;
        for alert in early {
            fire_early(&mut objects, alert)?;
        }
        let monitoring = Self {
            kubectl: Kubectl::new(NAMESPACE),
        };
        // Larger than what a client-side apply may remember.
        monitoring
            .kubectl
            .run_with_input(["apply", "--server-side", "--filename=-"], &objects.to_string())?;
        for deployment in ["deployment/prometheus", "deployment/alertmanager"] {
            monitoring
                .kubectl
                .run(["rollout", "status", deployment, "--timeout=180s"])?;
        }
        Ok(monitoring)
    }

    pub fn prometheus(&self) -> Result<Prometheus> {
        let address = service::address_of_port(&self.kubectl, "prometheus", 9090)?;
        Ok(Prometheus::new(format!("http://{address}")))
    }

    pub fn alertmanager(&self) -> Result<Alertmanager> {
        let address = service::address_of_port(&self.kubectl, "alertmanager", 9093)?;
        Ok(Alertmanager(Client::new(format!("http://{address}"))))
    }

    /// The names of the alerts of a namespace that Alertmanager has.
    pub fn alerts(&self, namespace: &str) -> Result<Vec<String>> {
        let is_of = |labels: &Value| labels["namespace"] == namespace;
        Ok(self.alertmanager()?.firing(is_of)?.into_iter().collect())
    }
}

/// Alertmanager's HTTP API, at an address that needs no Kubernetes API any more.
pub struct Alertmanager(Client);

impl Alertmanager {
    /// The names of the alerts that fire and have such labels.
    pub fn firing(&self, chosen: impl Fn(&Value) -> bool) -> Result<BTreeSet<String>> {
        let response = self.0.get("/api/v2/alerts")?;
        ensure!(response.status == 200, "{} {}", response.status, response.body);
        let alerts = response.json()?;
        let alerts = alerts.as_array().context("no list of alerts")?;
        Ok(alerts
            .iter()
            .map(|alert| &alert["labels"])
            .filter(|labels| chosen(labels))
            .filter_map(|labels| Some(labels["alertname"].as_str()?.to_owned()))
            .collect())
    }
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        if std::env::var_os("RATES_E2E_KEEP").is_none() {
            // What is left goes with the cluster; the test's result stands by now.
            let _ = self
                .kubectl
                .run(["delete", "namespace", NAMESPACE, "--wait=false"]);
            let _ = self.kubectl.run([
                "delete",
                "clusterrole,clusterrolebinding",
                "monitoring-prometheus",
            ]);
        }
    }
}

/// Takes the time that an alert must hold out of its rule.
fn fire_early(objects: &mut Value, alert: &str) -> Result<()> {
    let items = objects["items"].as_array_mut().context("no list of objects")?;
    for data in items
        .iter_mut()
        .filter_map(|item| item.get_mut("data")?.as_object_mut())
    {
        for text in data.values_mut() {
            let Some(rules) = text.as_str() else { continue };
            if let Some((before, rule)) = rules.split_once(&format!("- alert: {alert}\n")) {
                let (expression, time) = rule
                    .split_once("    for: ")
                    .with_context(|| format!("{alert} has no time"))?;
                ensure!(!expression.contains("alert:"), "{alert} has no time");
                let (_, after) = time.split_once('\n').context("a rule ends with its time")?;
                *text = Value::String(format!("{before}- alert: {alert}\n{expression}{after}"));
                return Ok(());
            }
        }
    }
    anyhow::bail!("there is no rule {alert}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_named_alert_fires_early() {
        let rules = "- alert: One\n    expr: a\n    for: 5m\n    labels: {}\n- alert: Two\n    expr: b\n    for: 5m\n";
        let mut objects = json!({"items": [{"kind": "Namespace"}, {"data": {"x.yaml": rules}}]});
        fire_early(&mut objects, "One").unwrap();
        assert_eq!(
            objects["items"][1]["data"]["x.yaml"],
            "- alert: One\n    expr: a\n    labels: {}\n- alert: Two\n    expr: b\n    for: 5m\n"
        );
        assert!(
            fire_early(&mut objects, "One").is_err(),
            "it has no time any more"
        );
        assert!(fire_early(&mut objects, "Three").is_err());
    }
}
