//! What keeps a pod from running and will hardly pass by itself, by name.
//!
//! Containers that fail go to and fro between states; what is said here stays the same meanwhile,
//! so that no condition flaps.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use kube::ResourceExt;

use super::{all_containers, containers, unscheduled, unscheduled_condition};
use crate::patroni;
use crate::reason::Reason;

/// A container that ran for longer before it ended is not in a loop; the kubelet thinks so too.
const SOUND_SECONDS: i64 = 600;
/// A pod of the API that is not ready after that long has something wrong with it: it needs well below a second.
const READY_WITHIN: SignedDuration = SignedDuration::from_secs(15);
/// For how long a pod that has a node is given for its images and what it mounts, before that counts as lasting: the
/// kubelet has tried four times by then.
const STARTED_WITHIN: SignedDuration = SignedDuration::from_secs(120);
/// For how long a pod may wait for a node: those that are added on demand take some minutes.
const PLACED_WITHIN: SignedDuration = SignedDuration::from_mins(5);
/// What PostgreSQL and the system say of a full disk.
const FULL: &str = "No space left on device";

/// What is wrong with a pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PodFailure {
    /// The reason for a condition.
    pub reason: Reason,
    pub message: String,
}

/// That the API server takes no pod of a controller.
pub fn refused(kind: &str, name: &str, why: &str) -> PodFailure {
    PodFailure {
        reason: Reason::PodRefused,
        message: format!("{kind} {name} gets no pod: {why}"),
    }
}

/// That a pod's server does not start, in its own words.
pub fn of_server(pod: &Pod) -> Option<PodFailure> {
    let why = patroni::start_failure(pod)?;
    Some(PodFailure {
        reason: if why.contains(FULL) {
            Reason::DiskFull
        } else {
            Reason::StartFailed
        },
        message: format!("PostgreSQL does not start in {}: {why}", pod.name_any()),
    })
}

/// What is wrong with a pod's containers.
pub fn of_containers(pod: &Pod) -> Option<PodFailure> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    all_containers(pod)
        .filter(|container| !container.ready)
        .find_map(|container| of_container(&pod.name_any(), container))
}

/// What is wrong with a pod: no node takes it for long, or its containers do not run.
pub fn of(pod: &Pod, now: Timestamp) -> Option<PodFailure> {
    let unscheduled = || {
        let why = unscheduled(pod)?;
        let waits = unplaced_at(pod).is_some_and(|at| at > now);
        (!waits).then(|| PodFailure {
            reason: Reason::Unschedulable,
            message: format!("{} finds no node: {why}", pod.name_any()),
        })
    };
    of_containers(pod).or_else(unscheduled)
}

/// That a pod waits for a node, which may be added for it.
pub fn waits_for_node(pod: &Pod) -> Option<String> {
    Some(format!(
        "{} waits for a node: {}",
        pod.name_any(),
        unscheduled(pod)?
    ))
}

/// When a pod that waits for a node counts as one that gets none.
pub fn unplaced_at(pod: &Pod) -> Option<Timestamp> {
    let since = unscheduled_condition(pod)?.last_transition_time.as_ref()?;
    since.0.checked_add(PLACED_WITHIN).ok()
}

/// What is wrong with a pod's containers and will not pass: one failed pull is tried again.
pub fn lasting(pod: &Pod, now: Timestamp) -> Option<PodFailure> {
    let failure = of_containers(pod)?;
    let may_pass = matches!(
        failure.reason,
        Reason::ImagePullFailed | Reason::ContainerNotStarted
    );
    (!may_pass || unstarted_at(pod).is_some_and(|at| at <= now)).then_some(failure)
}

/// When what keeps a pod's containers from starting counts as lasting.
pub fn unstarted_at(pod: &Pod) -> Option<Timestamp> {
    let began = pod.status.as_ref()?.start_time.as_ref();
    let began = began.or(pod.metadata.creation_timestamp.as_ref())?;
    began.0.checked_add(STARTED_WITHIN).ok()
}

/// When a pod of the API whose container runs, and which is not ready, counts as one that will hardly get ready.
pub fn unready_at(pod: &Pod) -> Option<Timestamp> {
    let container = containers(pod).into_iter().find(|container| !container.ready)?;
    let running = container.state.as_ref()?.running.as_ref()?;
    running.started_at.as_ref()?.0.checked_add(READY_WITHIN).ok()
}

/// That a pod of the API runs and does not get ready. One that answers waits for something that others may wait for too,
/// so that this counts only where others serve.
pub fn not_ready(pod: &Pod, others_serve: bool, now: Timestamp) -> Option<PodFailure> {
    if pod.metadata.deletion_timestamp.is_some() || unready_at(pod)? > now {
        return None;
    }
    let answers = containers(pod)
        .iter()
        .any(|container| !container.ready && container.started == Some(true));
    let what = match (answers, others_serve) {
        (false, _) => "it does not answer GET /healthz",
        (true, true) => "GET /readyz says that it cannot serve",
        (true, false) => return None,
    };
    Some(PodFailure {
        reason: Reason::NotReady,
        message: format!(
            "{} runs for more than {} s and {what}: look at its log",
            pod.name_any(),
            READY_WITHIN.as_secs()
        ),
    })
}

fn of_container(pod: &str, container: &ContainerStatus) -> Option<PodFailure> {
    let name = &container.name;
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
    let said = waiting.and_then(|waiting| waiting.message.as_deref());
    match reason {
        Some(
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed",
        ) => Some(PodFailure {
            reason: Reason::ImagePullFailed,
            message: format!(
                "{pod}, container {name}: image {} cannot be pulled{}",
                container.image,
                said.and_then(pull_error)
                    .map(|why| format!(": {why}"))
                    .unwrap_or_default()
            ),
        }),
        Some("CrashLoopBackOff") => Some(crash(pod, name, last_end(container))),
        None | Some("ContainerCreating" | "PodInitializing") => {
            let end = last_end(container)?;
            (container.restart_count > 1 && ran_seconds(end) < SOUND_SECONDS)
                .then(|| crash(pod, name, Some(end)))
        }
        Some(reason) => Some(PodFailure {
            reason: Reason::ContainerNotStarted,
            message: format!(
                "{pod}, container {name}: {reason}{}",
                said.map(|why| format!(": {why}")).unwrap_or_default()
            ),
        }),
    }
}

/// Why an image could not be pulled, the same whether the kubelet has just tried or waits to try again.
fn pull_error(said: &str) -> Option<&str> {
    match said.split_once("ErrImagePull: ") {
        Some((_, why)) => Some(why),
        None if said.starts_with("Back-off") => None,
        None => Some(said),
    }
}

/// How a container ended last.
pub fn last_end(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    [&container.state, &container.last_state]
        .into_iter()
        .find_map(|state| state.as_ref()?.terminated.as_ref())
}

/// For how long it had run; 0 if that is not known.
pub fn ran_seconds(end: &ContainerStateTerminated) -> i64 {
    match (&end.started_at, &end.finished_at) {
        (Some(started), Some(finished)) => finished.0.duration_since(started.0).as_secs(),
        _ => 0,
    }
}

/// Whether the kernel killed it for want of memory.
pub fn is_out_of_memory(end: &ContainerStateTerminated) -> bool {
    end.reason.as_deref() == Some("OOMKilled")
}

/// A container that ends again and again.
fn crash(pod: &str, container: &str, end: Option<&ContainerStateTerminated>) -> PodFailure {
    let killed = end.is_some_and(is_out_of_memory);
    let log = end.and_then(|end| end.message.as_deref()).unwrap_or_default();
    let reason = if log.contains(FULL) {
        Reason::DiskFull
    } else if killed {
        Reason::OutOfMemory
    } else {
        Reason::CrashLoop
    };
    let ended = end.map(|end| format!("; it last ended with exit code {}", end.exit_code));
    let memory = killed.then_some(" (OOMKilled): it needs more than its limit of memory");
    let words = telling_line(log).map(|line| format!(": {line}"));
    let message = format!(
        "{pod}, container {container}: CrashLoopBackOff{}{}{}",
        ended.unwrap_or_default(),
        memory.unwrap_or_default(),
        words.unwrap_or_default()
    );
    PodFailure { reason, message }
}

/// Of the end of a log, the last line that speaks of an error, or the last one.
fn telling_line(log: &str) -> Option<String> {
    let speaks = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.contains(&FULL.to_ascii_lowercase())
            || ["error", "fatal", "panic"].iter().any(|word| line.contains(word))
    };
    let lines = || log.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().rfind(speaks).or_else(|| lines().next_back())?;
    Some(line.chars().take(300).collect())
}
