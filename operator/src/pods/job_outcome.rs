//! How a Job stands: what its pods reported in their termination messages, or that they were lost.
//!
//! Pods are asked before Jobs, as the Job controller tells a second later. Of a pod our own containers count alone: one
//! that an admission webhook added, as a mesh's proxy, may run on for ever.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt;
use serde::Deserialize;

use super::{all_containers, terminated};
use crate::crd::Copied;

/// The container that writes the dump of the API's image.
pub const DUMP: &str = "dump";
/// The container whose failure is the dump's own fault.
pub const LOAD: &str = "load";
/// The container that gives the loaded database its name.
pub const PUBLISH: &str = "publish";
/// The container that migrates the tables.
pub const MIGRATE: &str = "migrate";
/// The containers of Jobs in their order, and of each Job the one that reports what was done.
const OURS: [&str; 4] = [DUMP, LOAD, PUBLISH, MIGRATE];
const LAST: [&str; 2] = [PUBLISH, MIGRATE];

/// From this exit code on a process was ended by a signal.
const KILLED: i32 = 128;

/// What a Job's container leaves in its termination message.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
enum Report {
    #[serde(rename_all = "camelCase")]
    Succeeded {
        source: Option<String>,
        checksum: Option<String>,
        #[serde(default)]
        rows: i64,
        #[serde(default)]
        seconds: f64,
        schema_version: Option<i64>,
        #[serde(default)]
        already_seeded: bool,
        copied: Option<Copied>,
    },
    Failed {
        message: String,
        /// Set where the failure says nothing about the inputs: the server went away.
        #[serde(default)]
        retry: bool,
    },
    /// Nothing was done, because of a failure that another container reports, perhaps a moment later.
    Skipped {},
}

/// How a Job stands.
#[derive(Clone, Debug)]
pub enum JobOutcome {
    Active,
    Succeeded(Success),
    /// A container said what is wrong.
    Failed(Failure),
    /// The attempt was lost: its pod was deleted, evicted or killed.
    Lost {
        ended: Timestamp,
    },
}

#[derive(Clone, Debug, Default)]
pub struct Success {
    pub source: Option<String>,
    pub checksum: Option<String>,
    pub rows: i64,
    pub seconds: f64,
    pub schema_version: Option<i64>,
    /// The database was there before this attempt, which left it as it was.
    pub already_seeded: bool,
    /// What of another environment was copied.
    pub copied: Option<Copied>,
}

#[derive(Clone, Debug)]
pub struct Failure {
    pub container: String,
    pub message: String,
    pub retry: bool,
    pub started: Option<Timestamp>,
    pub ended: Timestamp,
}

/// Reads how a Job stands from its pods and, where they are gone, from itself.
#[must_use]
pub fn outcome_of(job: &Job, pods: &[Pod]) -> JobOutcome {
    let own: Vec<&Pod> = pods.iter().filter(|pod| is_of(job, pod)).collect();
    if let Some(success) = own.iter().find_map(|pod| success(pod)) {
        return JobOutcome::Succeeded(success);
    }
    if let Some(failure) = own.iter().find_map(|pod| failure(pod)) {
        return JobOutcome::Failed(failure);
    }
    let condition = job
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .find(|condition| {
            condition.status == "True" && matches!(condition.type_.as_str(), "Complete" | "Failed")
        });
    let ended_pod = own.iter().find(|pod| has_ended(pod));
    match (condition, ended_pod) {
        // Also one that succeeded and whose report is gone: the next attempt reports what is there.
        (Some(condition), _) => {
            let ended = condition
                .last_transition_time
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
            JobOutcome::Lost { ended }
        }
        (None, Some(pod)) if own.len() == 1 => JobOutcome::Lost { ended: ended_at(pod) },
        (None, _) => JobOutcome::Active,
    }
}

/// Whether a pod will do nothing more.
#[must_use]
pub fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed")) || have_ended(pod)
}

/// Whether all containers of ours have ended. Those that come before, one after the other, have then.
fn have_ended(pod: &Pod) -> bool {
    let ours: Vec<_> = super::containers(pod)
        .into_iter()
        .filter(|container| OURS.contains(&container.name.as_str()))
        .collect();
    !ours.is_empty() && ours.iter().all(|container| terminated(container).is_some())
}

/// Whether the Job's pod runs on although our containers ended: a container that is not ours runs. The pod's phase is late,
/// and says Running of a pod that has just ended, too.
#[must_use]
pub fn lingers(job: &Job, pods: &[Pod]) -> bool {
    let is_foreign_and_runs = |container: &ContainerStatus| {
        let runs = container
            .state
            .as_ref()
            .is_some_and(|state| state.running.is_some());
        runs && !OURS.contains(&container.name.as_str())
    };
    let own = pods.iter().filter(|pod| is_of(job, pod));
    own.filter(|pod| have_ended(pod))
        .any(|pod| all_containers(pod).any(is_foreign_and_runs))
}

fn is_of(job: &Job, pod: &Pod) -> bool {
    let owners = pod.owner_references().iter();
    owners
        .into_iter()
        .any(|owner| Some(&owner.uid) == job.uid().as_ref())
}

/// The end of the container that reports what was done.
fn last(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ours = containers
        .iter()
        .find(|container| LAST.contains(&container.name.as_str()))?;
    terminated(ours)
}

fn success(pod: &Pod) -> Option<Success> {
    match serde_json::from_str(last(pod)?.message.as_deref()?).ok()? {
        Report::Succeeded {
            source,
            checksum,
            rows,
            seconds,
            schema_version,
            already_seeded,
            copied,
        } => Some(Success {
            source,
            checksum,
            rows,
            seconds,
            schema_version,
            already_seeded,
            copied,
        }),
        Report::Failed { .. } | Report::Skipped {} => None,
    }
}

/// Of several containers that failed, the first one's, by their order.
fn failure(pod: &Pod) -> Option<Failure> {
    OURS.iter().find_map(|name| {
        let container = all_containers(pod).find(|container| container.name == *name)?;
        let terminated = terminated(container)?;
        let (message, retry) = why(terminated)?;
        Some(Failure {
            container: container.name.clone(),
            message,
            retry,
            started: terminated.started_at.as_ref().map(|time| time.0),
            ended: terminated
                .finished_at
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        })
    })
}

/// What a container said of its failure: its report, or the end of its log where it made none. One that was killed
/// says nothing: it was lost.
fn why(terminated: &ContainerStateTerminated) -> Option<(String, bool)> {
    let said = terminated.message.as_deref().unwrap_or_default();
    match serde_json::from_str(said) {
        Ok(Report::Failed { message, retry }) => Some((message, retry)),
        Err(_) if (1..KILLED).contains(&terminated.exit_code) => {
            let line = said.lines().map(str::trim).rfind(|line| !line.is_empty());
            let words = line.map(|line| format!(": {line}")).unwrap_or_default();
            Some((format!("exit code {}{words}", terminated.exit_code), true))
        }
        Ok(Report::Succeeded { .. } | Report::Skipped {}) | Err(_) => None,
    }
}

fn ended_at(pod: &Pod) -> Timestamp {
    let containers = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    let ends = containers.filter_map(|container| Some(terminated(container)?.finished_at.as_ref()?.0));
    ends.max().unwrap_or(Timestamp::UNIX_EPOCH)
}
