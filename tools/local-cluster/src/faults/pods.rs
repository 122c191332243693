//! The processes of one pod's containers, found through its control group: to be ended or stopped from outside, as the
//! kernel does it when memory is short. Its first container, which only holds the namespaces, is left alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroup::Hierarchies;
use crate::group_tree::{collect, walk};
use crate::process::{Identity, kill_if};

const POSTGRES: &str = "postgres";
const PATIENCE: Duration = Duration::from_secs(10);

/// The containers that a pod has now; not those that it gets later.
#[derive(Clone, Debug)]
pub struct PodProcesses {
    containers: Vec<PathBuf>,
}

impl PodProcesses {
    /// Of the pod with this uid in a cluster.
    pub fn of(cluster: &str, uid: &str) -> Result<Self> {
        let mut containers = containers(cluster, uid)?;
        // The one that holds the namespaces is the oldest.
        containers.sort_by_key(|container| in_group(container).into_iter().filter_map(start).min());
        let first = containers
            .iter()
            .position(|container| !in_group(container).is_empty());
        let first = first.with_context(|| format!("pod {uid} has no process"))?;
        containers.drain(..=first);
        ensure!(!containers.is_empty(), "pod {uid} has no container that runs");
        Ok(Self { containers })
    }

    /// A process in the pod's network.
    pub(super) fn any_pid(cluster: &str, uid: &str) -> Result<i32> {
        let pids = containers(cluster, uid)?
            .iter()
            .flat_map(|container| in_group(container))
            .next();
        pids.with_context(|| format!("pod {uid} has no process"))
    }

    /// Their pids now.
    #[must_use]
    pub fn pids(&self) -> BTreeSet<i32> {
        self.containers
            .iter()
            .flat_map(|container| in_group(container))
            .collect()
    }

    /// Ends the `PostgreSQL` server's first process at once; gives its pid.
    pub fn kill_postmaster(&self) -> Result<i32> {
        let is_server = |pid: i32| program(pid) == POSTGRES;
        let first = self
            .pids()
            .into_iter()
            .find(|pid| is_server(*pid) && parent(*pid).is_some_and(|parent| !is_server(parent)));
        let pid = first.context("the pod has no server that runs")?;
        kill_if(pid, || is_server(pid));
        Ok(pid)
    }

    /// Ends all of them at once, and waits until none is left.
    pub fn kill_all(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let pids = self.pids();
            if pids.is_empty() {
                return Ok(());
            }
            for pid in &pids {
                kill_if(*pid, || self.pids().contains(pid));
            }
            ensure!(Instant::now() < deadline, "{pids:?} do not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops all of them, also those that were just being started.
    pub fn stop(&self) -> Result<Stopped> {
        let stopped = Stopped(self.clone());
        let deadline = Instant::now() + PATIENCE;
        loop {
            stopped.0.signal(Signal::SIGSTOP);
            let running: Vec<_> = self.pids().into_iter().filter(|pid| !is_stopped(*pid)).collect();
            if running.is_empty() {
                return Ok(stopped);
            }
            if Instant::now() > deadline {
                bail!("{running:?} do not stop");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets all of them go on that were stopped, also by another run.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        for pid in self.pids() {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// Processes that are stopped until this is dropped.
#[must_use = "the processes go on when this is dropped"]
#[derive(Debug)]
pub struct Stopped(PodProcesses);

impl Stopped {
    /// Lets them go on.
    pub fn resume(self) {}
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.resume();
    }
}

/// The groups of a pod's containers, those that have ended included.
fn containers(cluster: &str, uid: &str) -> Result<Vec<PathBuf>> {
    let name = format!("pod{uid}");
    let mut pod = None;
    walk(&Hierarchies::find()?.cluster_group(cluster), &mut |group| {
        if group.file_name().is_some_and(|found| found == name.as_str()) {
            pod = Some(group.to_path_buf());
        }
    });
    let pod = pod.with_context(|| format!("no node of cluster {cluster} has a pod {uid}"))?;
    let groups = fs::read_dir(&pod).with_context(|| format!("cannot list {}", pod.display()))?;
    Ok(groups
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect())
}

/// When a process began.
fn start(pid: i32) -> Option<u64> {
    Identity::of(pid).ok().map(|identity| identity.start)
}

fn in_group(group: &Path) -> BTreeSet<i32> {
    let mut pids = BTreeSet::new();
    collect(group, &mut pids);
    pids
}

/// The name of a process's program, as the kernel cuts it; empty once it has ended.
fn program(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

fn parent(pid: i32) -> Option<i32> {
    status(pid, "PPid:")?.parse().ok()
}

fn is_stopped(pid: i32) -> bool {
    // One that has ended and is not waited for runs as little.
    status(pid, "State:").is_none_or(|state| state.starts_with(['T', 'Z', 'X']))
}

fn status(pid: i32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim().to_owned())
}
