//! The next step of a roll: pods of an earlier template are deleted one at a time, standbys first and the primary last.
//!
//! Each pod has to stream and to count for the quorum before the next one goes. So a roll stops at the first pod that does
//! not work, and one apply continues it or takes it back. The primary's pod hands over before it stops.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;

use super::view::{Instance, View};
use crate::observed::Observed;
use crate::pods::failure::{self, PodFailure};
use crate::pods::is_running;

/// The label with the template's revision, which the `StatefulSet`'s controller sets.
const REVISION_LABEL: &str = "controller-revision-hash";

/// What a roll does next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Roll {
    /// All pods are of the template.
    Complete,
    /// This pod goes next.
    Delete { pod: String, uid: String, why: String },
    /// What is waited for, and whether that will hardly come by itself.
    Waits(String, Option<PodFailure>),
}

/// The next step; `None` where the `StatefulSet`'s controller rolls by itself.
#[must_use]
pub fn roll(observed: &Observed, view: &View<'_>, now: Timestamp) -> Option<Roll> {
    let set = observed.stateful_set().filter(|set| was_seen(set))?;
    let spec = set.spec.as_ref()?;
    let strategy = spec.update_strategy.as_ref()?.type_.as_deref();
    if strategy != Some("OnDelete") {
        return None;
    }
    let Some(revision) = revision(set) else {
        return Some(waits(format!(
            "StatefulSet {} takes its new template",
            set.name_any()
        )));
    };
    let replicas = spec.replicas.unwrap_or(1);
    let is_outdated = |instance: &&Instance<'_>| {
        instance.pod.labels().get(REVISION_LABEL).map(String::as_str) != Some(revision)
            && i32::from(instance.ordinal) < replicas
    };
    let outdated: Vec<&Instance<'_>> = view.instances.iter().filter(is_outdated).collect();
    if outdated.is_empty() {
        return Some(Roll::Complete);
    }
    let primary = view.primary();
    let is_primary = |instance: &Instance<'_>| primary.is_some_and(|primary| primary.name == instance.name);

    // Nobody misses what does not run; it may be what the new template corrects.
    let broken = outdated
        .iter()
        .filter(|instance| !instance.is_leaving() && !is_primary(instance))
        .find_map(|instance| Some((instance, why_broken(instance, now)?)));
    if let Some((instance, why)) = broken {
        return Some(delete(instance, why));
    }
    let Some(primary) = primary else {
        return Some(waits("there is no primary at present".to_owned()));
    };
    if let Some(leaving) = view.instances.iter().find(|instance| instance.is_leaving()) {
        return Some(waits(format!("{} is being replaced", leaving.name)));
    }
    let prefix = observed.identity.postgres();
    let missing = (0..replicas).find(|ordinal| {
        let is_it = |instance: &Instance<'_>| i32::from(instance.ordinal) == *ordinal;
        !view.instances.iter().any(is_it)
    });
    if let Some(ordinal) = missing {
        return Some(waits(format!("{prefix}-{ordinal} is made")));
    }
    let mut lacking = view
        .standbys(primary)
        .filter_map(|standby| Some((standby, view.lacks(standby, primary)?)));
    let (first, second) = (lacking.next(), lacking.next());
    let goes = |instance: &Instance<'_>| outdated.iter().any(|outdated| outdated.name == instance.name);
    match (first, second) {
        // It lacks something already, and all others are whole.
        (Some((standby, why)), None) if goes(standby) => Some(delete(standby, why)),
        (Some((standby, why)), _) => {
            let failed = failure::of(standby.pod, now).or_else(|| failure::of_server(standby.pod));
            Some(match failed {
                Some(failure) => Roll::Waits(failure.message.clone(), Some(failure)),
                None => waits(why),
            })
        }
        (None, _) => {
            let standbys = || outdated.iter().filter(|instance| !is_primary(instance));
            let next = standbys().next_back().or_else(|| outdated.first());
            Some(match next {
                Some(next) if is_primary(next) && view.cluster.is_paused => waits(format!(
                    "{} is the primary, and nobody takes over from it while Patroni is paused",
                    next.name
                )),
                Some(next) if is_primary(next) => delete(
                    next,
                    "it is the last one of the template before, and hands over first".to_owned(),
                ),
                Some(next) => delete(next, "it is of the template before".to_owned()),
                None => Roll::Complete,
            })
        }
    }
}

/// Whether its controller has seen the `StatefulSet`, of whatever template.
fn was_seen(set: &StatefulSet) -> bool {
    set.status
        .as_ref()
        .is_some_and(|status| status.observed_generation.is_some())
}

/// The revision that pods are to have, once the controller knows the template.
fn revision(set: &StatefulSet) -> Option<&str> {
    let status = set.status.as_ref()?;
    let is_current =
        status.observed_generation.is_some() && status.observed_generation == set.metadata.generation;
    status.update_revision.as_deref().filter(|_| is_current)
}

/// Why a pod will hardly run by itself, or that it has not begun to.
fn why_broken(instance: &Instance<'_>, now: Timestamp) -> Option<String> {
    let began = instance.postgres().is_some_and(|postgres| {
        is_running(postgres)
            || postgres.restart_count > 0
            || postgres
                .last_state
                .as_ref()
                .is_some_and(|state| state.terminated.is_some())
    });
    let failed = failure::of(instance.pod, now).map(|failure| failure.message);
    failed.or_else(|| (!began).then(|| "it did not start yet".to_owned()))
}

fn waits(what: String) -> Roll {
    Roll::Waits(what, None)
}

fn delete(instance: &Instance<'_>, why: String) -> Roll {
    Roll::Delete {
        pod: instance.name.clone(),
        uid: instance.pod.uid().unwrap_or_default(),
        why,
    }
}

/// How many pods are of the template, and how many there are, while some are not.
#[must_use]
pub fn under_way(observed: &Observed, view: &View<'_>) -> Option<(usize, usize)> {
    let set = observed.stateful_set().filter(|set| was_seen(set))?;
    let all = view.instances.len();
    let Some(revision) = revision(set) else {
        return Some((0, all));
    };
    let is_current = |instance: &&Instance<'_>| {
        instance.pod.labels().get(REVISION_LABEL).map(String::as_str) == Some(revision)
    };
    let current = view.instances.iter().filter(is_current).count();
    (current < all).then_some((current, all))
}
