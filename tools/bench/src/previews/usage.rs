//! What the pods of a namespace take, as the kubelet counts it.

use std::fmt;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use host::command;
use local_cluster::Running;

/// Memory and processor of the pods that run.
#[derive(Debug, Serialize)]
pub struct Usage {
    pub pods: usize,
    /// The working set: what the kernel could not take back at once.
    pub memory_bytes: u64,
    /// Processors in use, over the last seconds.
    pub processors: f64,
}

impl Usage {
    pub fn of(running: &Running, namespace: &str) -> Result<Self> {
        let summary = ["get", "--raw", "/api/v1/nodes/node-1/proxy/stats/summary"];
        let text = command::output(running.kubectl().args(summary))?;
        let summary: Value = serde_json::from_str(&text).context("the kubelet's summary is no JSON")?;
        let mut usage = Self {
            pods: 0,
            memory_bytes: 0,
            processors: 0.0,
        };
        let pods = summary["pods"].as_array();
        for pod in pods
            .into_iter()
            .flatten()
            .filter(|pod| pod["podRef"]["namespace"] == namespace)
        {
            let memory: u64 = containers(pod)
                .filter_map(|one| one["memory"]["workingSetBytes"].as_u64())
                .sum();
            if memory == 0 {
                // It has ended.
                continue;
            }
            usage.pods += 1;
            usage.memory_bytes += memory;
            let nanos: f64 = containers(pod)
                .filter_map(|one| one["cpu"]["usageNanoCores"].as_f64())
                .sum();
            usage.processors += nanos / 1e9;
        }
        Ok(usage)
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["containers"].as_array().into_iter().flatten()
}

impl fmt::Display for Usage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "shown with no decimals")]
        let mebibytes = self.memory_bytes as f64 / f64::from(1 << 20);
        write!(
            formatter,
            "{mebibytes:.0} MiB of memory and {:.3} processors in {} pods",
            self.processors, self.pods
        )
    }
}
