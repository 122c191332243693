//! An instance that was killed more than once, and whose container waits until the kubelet starts it again.
//!
//! The kubelet starts it at once the first time, and then waits 10 s, 20 s and so on: two kills in a row would keep two of
//! three instances away, and with them every commit. A pod that is made anew begins without such a wait.

use k8s_openapi::api::core::v1::ContainerStatus;
use kube::ResourceExt;

use super::leader_key::dead_leader;
use super::situation::Step;
use super::view::{Instance, View};
use crate::observed::Observed;
use crate::pods::failure::{is_out_of_memory, last_end, ran_seconds};

/// Of a program that was killed by SIGKILL.
const KILLED: i32 = 137;
/// What is killed sooner than this is killed by its start, and left to the kubelet's wait.
const STARTED_SECONDS: i64 = 5;

/// The pod that is made anew, if one waits.
#[must_use]
pub fn waiting(observed: &Observed, view: &View<'_>) -> Option<Step> {
    let waits = |instance: &&Instance<'_>| {
        !instance.is_leaving()
            && instance.postgres().is_some_and(waits_after_a_kill)
            // That its container has ended shows that it has died; without the pod, its leader key would have to expire.
            && dead_leader(observed).is_none_or(|dead| dead.holder != instance.name)
    };
    let instance = view.instances.iter().find(waits)?;
    Some(Step::DeletePod {
        pod: instance.name.clone(),
        uid: instance.pod.uid().unwrap_or_default(),
        force: false,
        why: "it was killed, and the kubelet waits before it starts it again".to_owned(),
    })
}

/// After a kill by somebody else: what needs more memory than it may have would be killed again.
fn waits_after_a_kill(container: &ContainerStatus) -> bool {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"))
        && last_end(container).is_some_and(|end| {
            end.exit_code == KILLED && !is_out_of_memory(end) && ran_seconds(end) >= STARTED_SECONDS
        })
}
