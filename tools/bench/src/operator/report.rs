//! The figures, and the goals that they are held against.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context as _, Result};
use serde::Serialize;

use host::workspace;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub environments: usize,
    pub processors: usize,
    /// The load of the machine before anything was started.
    pub load_before: String,
    pub children: usize,
    pub operator_last_child_write_seconds: f64,
    pub operator_all_ready_seconds: f64,
    pub operator_processor_seconds: f64,
    pub kubectl_last_child_write_seconds: f64,
    pub peak_memory_mebibytes: f64,
    pub settled_memory_mebibytes: f64,
    pub restarted_peak_memory_mebibytes: f64,
    /// Until everything was Ready, by verb and kind.
    pub requests_per_environment: BTreeMap<String, f64>,
    pub refused_requests: usize,
    pub resync_seconds: f64,
    pub resync_writes: usize,
    pub resync_requests: usize,
    pub restart_seconds: f64,
    pub restart_writes: usize,
    pub restart_requests: BTreeMap<String, usize>,
}

impl Report {
    pub fn new(environments: usize) -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            environments,
            processors: thread::available_parallelism().map_or(0, usize::from),
            load_before: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
            ..Self::default()
        }
    }

    pub fn ratio(&self) -> f64 {
        self.operator_last_child_write_seconds / self.kubectl_last_child_write_seconds
    }

    /// Prints a table on standard output.
    pub fn print(&self) {
        println!(
            "{} environments, {} children, {} processors, load before {}",
            self.environments, self.children, self.processors, self.load_before
        );
        let row = |what: &str, value: String, goal: &str, met: Option<bool>| {
            let verdict = met.map_or("", |met| if met { "met" } else { "MISSED" });
            println!("{what:<46} {value:>12}  {goal:<14} {verdict}");
        };
        let seconds = |seconds: f64| format!("{seconds:.1} s");
        row(
            "the operator's last child write",
            seconds(self.operator_last_child_write_seconds),
            "",
            None,
        );
        row(
            "kubectl's, with the same children",
            seconds(self.kubectl_last_child_write_seconds),
            "",
            None,
        );
        let ratio = self.ratio();
        row(
            "the operator to kubectl",
            format!("{ratio:.2}"),
            "at most 1.5",
            Some(ratio <= 1.5),
        );
        row("all Ready", seconds(self.operator_all_ready_seconds), "", None);
        row(
            "the operator's processor time until then",
            seconds(self.operator_processor_seconds),
            "",
            None,
        );
        for (what, value) in [
            ("the operator's peak memory", self.peak_memory_mebibytes),
            ("its peak after a restart", self.restarted_peak_memory_mebibytes),
        ] {
            row(
                what,
                format!("{value:.1} MiB"),
                "under 128 MiB",
                Some(value < 128.0),
            );
        }
        row(
            "its memory when settled",
            format!("{:.1} MiB", self.settled_memory_mebibytes),
            "",
            None,
        );
        let writes = |writes: usize| (writes.to_string(), Some(writes == 0));
        let (value, met) = writes(self.resync_writes);
        row("writes in a resync of all", value, "none", met);
        row("that resync", seconds(self.resync_seconds), "", None);
        row("requests in it", self.resync_requests.to_string(), "", None);
        let (value, met) = writes(self.restart_writes);
        row("writes after a restart", value, "none", met);
        row(
            "settled after a restart",
            seconds(self.restart_seconds),
            "under 10 s",
            Some(self.restart_seconds < 10.0),
        );
        println!("requests to the API server per environment, until all were Ready:");
        for (what, count) in &self.requests_per_environment {
            println!("  {what:<44} {count:>8.2}");
        }
        let total: f64 = self.requests_per_environment.values().sum();
        println!(
            "  {:<44} {total:>8.2}; {} refused in all",
            "together", self.refused_requests
        );
    }

    /// Writes it where built things are. A quick run does not replace the figures of a whole one.
    pub fn write(&self, quick: bool) -> Result<PathBuf> {
        let name = if quick {
            "operator-quick.json"
        } else {
            "operator.json"
        };
        let path = workspace::root().join("target/bench").join(name);
        let mut text = serde_json::to_string_pretty(self).context("cannot write the figures as JSON")?;
        text.push('\n');
        path.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

pub fn mebibytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
    let bytes = bytes as f64;
    bytes / MEBIBYTE
}
