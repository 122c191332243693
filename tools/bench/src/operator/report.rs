//! The figures, and the goals that they are held against.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;

use anyhow::Result;
use serde::Serialize;

use crate::figures;
use crate::goal::Goal;

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
    pub goals: Vec<Goal>,
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

    /// Holds what was measured against what is wanted.
    pub fn judge(&mut self) {
        let ratio = self.operator_last_child_write_seconds / self.kubectl_last_child_write_seconds;
        self.goals = vec![
            Goal::at_most(
                "the operator's last child write as a multiple of kubectl's",
                1.5,
                ratio,
            ),
            Goal::at_most(
                "the operator's peak memory in MiB",
                128.0,
                self.peak_memory_mebibytes,
            ),
            Goal::at_most(
                "its peak after a restart in MiB",
                128.0,
                self.restarted_peak_memory_mebibytes,
            ),
            Goal::none("writes in a resync of all", self.resync_writes),
            Goal::none("writes after a restart", self.restart_writes),
            Goal::at_most(
                "seconds until it is settled after a restart",
                10.0,
                self.restart_seconds,
            ),
        ];
    }

    /// Prints a table on standard output.
    pub fn print(&self) {
        println!(
            "{} environments, {} children, {} processors, load before {}",
            self.environments, self.children, self.processors, self.load_before
        );
        for (what, seconds) in [
            (
                "the operator's last child write",
                self.operator_last_child_write_seconds,
            ),
            (
                "kubectl's, with the same children",
                self.kubectl_last_child_write_seconds,
            ),
            ("all Ready", self.operator_all_ready_seconds),
            (
                "the operator's processor time until then",
                self.operator_processor_seconds,
            ),
            ("a resync of all", self.resync_seconds),
        ] {
            println!("{what:<46} {seconds:>12.1} s");
        }
        let settled = self.settled_memory_mebibytes;
        println!("{:<46} {settled:>12.1} MiB", "its memory when settled");
        println!("{:<46} {:>12}", "requests in the resync", self.resync_requests);
        println!("requests to the API server per environment, until all were Ready:");
        for (what, count) in &self.requests_per_environment {
            println!("  {what:<44} {count:>8.2}");
        }
        let total: f64 = self.requests_per_environment.values().sum();
        println!(
            "  {:<44} {total:>8.2}; {} refused in all",
            "together", self.refused_requests
        );
        for goal in &self.goals {
            println!("{goal}");
        }
    }

    /// Writes it where built things are. A quick run does not replace the figures of a whole one.
    pub fn write(&self, quick: bool) -> Result<PathBuf> {
        let name = if quick {
            "operator-quick.json"
        } else {
            "operator.json"
        };
        figures::write(name, self)
    }
}

pub fn mebibytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
    let bytes = bytes as f64;
    bytes / MEBIBYTE
}
