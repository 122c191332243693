//! What monitoring takes: the exporter's container, the series of an environment, and Prometheus itself.

use anyhow::Result;
use client::environment::{Environment, PATIENCE};
use client::prometheus::Prometheus;
use client::wait::{Look, until};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Costs {
    pub exporter_memory_bytes: Option<f64>,
    pub exporter_processors: Option<f64>,
    /// Of one environment with one instance and one pod of the API, by job.
    pub series: Vec<(String, f64)>,
    /// Of the kubelets' and of recorded ones.
    pub series_of_all: Option<f64>,
    pub prometheus_memory_bytes: Option<f64>,
    pub prometheus_processors: Option<f64>,
}

/// Asked of an environment that nobody uses, once the kubelet has told of its pods for long enough.
pub fn of(prometheus: &Prometheus, environment: &Environment) -> Result<Costs> {
    until("what the exporter takes is known", PATIENCE, || {
        let costs = at_once(prometheus, environment)?;
        Ok(match costs.exporter_processors.zip(costs.prometheus_processors) {
            Some(_) => Look::Holds(costs),
            None => Look::NotYet(format!("{costs:?}")),
        })
    })
}

fn at_once(prometheus: &Prometheus, environment: &Environment) -> Result<Costs> {
    let namespace = environment.kubectl.namespace();
    let one = |expression: &str| -> Result<Option<f64>> {
        Ok(prometheus.query(expression)?.first().map(|series| series.value))
    };
    let exporter = format!("namespace=\"{namespace}\", container=\"exporter\"");
    let server = "namespace=\"monitoring\", container=\"prometheus\"";
    let series = prometheus.query(&format!(
        "count by (job) ({{__name__!~\"rates:.+\", namespace=\"{namespace}\"}})"
    ))?;
    Ok(Costs {
        exporter_memory_bytes: one(&format!("max(container_memory_working_set_bytes{{{exporter}}})"))?,
        exporter_processors: one(&format!(
            "max(rate(container_cpu_usage_seconds_total{{{exporter}}}[2m]))"
        ))?,
        series: series
            .into_iter()
            .map(|series| {
                (
                    series.labels["job"].as_str().unwrap_or("?").to_owned(),
                    series.value,
                )
            })
            .collect(),
        series_of_all: one(&format!(
            "count({{__name__=~\"rates:.+\", namespace=\"{namespace}\"}})"
        ))?,
        prometheus_memory_bytes: one(&format!("max(container_memory_working_set_bytes{{{server}}})"))?,
        prometheus_processors: one(&format!(
            "max(rate(container_cpu_usage_seconds_total{{{server}}}[2m]))"
        ))?,
    })
}
