//! Why a `StatefulSet` or a Job has no pod, in the words of whoever refused it: quotas, limit ranges, Pod Security and
//! admission webhooks.
//!
//! A Deployment says it in a condition. The controllers of the other two say it in Events alone, which are asked for only
//! while a pod is missing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

/// How soon a pod follows its controller where nothing is wrong.
const SOON: SignedDuration = SignedDuration::from_secs(5);

/// By the uid of a controller, why its pod is refused.
#[derive(Clone, Debug, Default)]
pub struct Refusals {
    by_uid: BTreeMap<String, String>,
    /// Whether a pod is missing, or has not come yet.
    pub is_missing: bool,
}

impl Refusals {
    /// Asks for the Events of those that have no pod for some seconds. Where they may not be read, nothing else stops.
    pub async fn of(
        client: &Client,
        namespace: &str,
        stateful_sets: &[StatefulSet],
        jobs: &[Job],
        pods: &[Pod],
        now: Timestamp,
    ) -> Self {
        let mut refusals = Self::default();
        for controller in without_pods(stateful_sets, jobs, pods) {
            refusals.is_missing = true;
            let made = controller.creation_timestamp.as_ref();
            let Some(uid) = controller
                .uid
                .as_ref()
                .filter(|_| made.is_some_and(|made| now.duration_since(made.0) >= SOON))
            else {
                continue;
            };
            let events: Api<Event> = Api::namespaced(client.clone(), namespace);
            let about = ListParams::default().fields(&format!("regarding.uid={uid}"));
            match events.list(&about).await {
                Ok(events) => {
                    let words = last_word(events.items);
                    refusals.by_uid.extend(words.map(|words| (uid.clone(), words)));
                }
                Err(error) => tracing::warn!(%error, "the Events of what misses its pod cannot be read"),
            }
        }
        refusals
    }

    /// Why a controller's pod is refused.
    #[must_use]
    pub fn get(&self, controller: &ObjectMeta) -> Option<&str> {
        self.by_uid.get(controller.uid.as_ref()?).map(String::as_str)
    }
}

/// The controllers that want a pod and have none.
fn without_pods<'a>(
    stateful_sets: &'a [StatefulSet],
    jobs: &'a [Job],
    pods: &'a [Pod],
) -> impl Iterator<Item = &'a ObjectMeta> {
    let wants = |set: &&StatefulSet| set.spec.as_ref().and_then(|spec| spec.replicas) != Some(0);
    let runs = |job: &&Job| {
        let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.is_none_or(Vec::is_empty)
    };
    let has_none = |controller: &&ObjectMeta| {
        let uid = controller.uid.as_ref();
        let owned = |pod: &Pod| pod.owner_references().iter().any(|owner| Some(&owner.uid) == uid);
        controller.deletion_timestamp.is_none() && !pods.iter().any(owned)
    };
    let sets = stateful_sets.iter().filter(wants).map(|set| &set.metadata);
    let jobs = jobs.iter().filter(runs).map(|job| &job.metadata);
    sets.chain(jobs).filter(has_none)
}

/// What the newest Event about a pod says, where that is a failure.
fn last_word(events: Vec<Event>) -> Option<String> {
    let is_of_a_pod =
        |event: &Event| matches!(event.reason.as_deref(), Some("FailedCreate" | "SuccessfulCreate"));
    let newest = events.into_iter().filter(is_of_a_pod).max_by_key(|event| {
        let success = event.reason.as_deref() == Some("SuccessfulCreate");
        (last_seen(event), success)
    })?;
    newest
        .note
        .filter(|_| newest.reason.as_deref() == Some("FailedCreate"))
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().map(|series| series.last_observed_time.0);
    let old = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    let new = event.event_time.as_ref().map(|time| time.0);
    series.or(old).or(new)
}
