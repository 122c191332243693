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
    let primary = view.primary(now);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::situation::Step;
    use super::super::stage::{Stage, name};

    /// Which pod is deleted next, or what is waited for.
    fn next(stage: &Stage) -> (Option<String>, String) {
        let plan = stage.plan();
        let pod = plan.step.map(|step| match step {
            Step::DeletePod { pod, uid, force, .. } => {
                assert!(!force && uid.starts_with("pod-"));
                pod
            }
            step => panic!("{step:?}"),
        });
        (
            pod,
            plan.rolling.map(|rolling| rolling.so_far).unwrap_or_default(),
        )
    }

    #[test]
    fn standbys_go_one_at_a_time_and_the_primary_last() {
        let mut stage = Stage::outdated(3);
        assert_eq!(next(&stage).0, Some(name(2)));

        stage.pod(2)["metadata"]["deletionTimestamp"] = "2031-03-04T05:06:07Z".into();
        let (pod, waits) = next(&stage);
        assert_eq!(pod, None);
        assert_eq!(
            waits,
            "0 of 3 instances are current; waiting: pier-postgres-2 is being replaced"
        );
        stage.remove(2);
        assert!(next(&stage).1.ends_with("pier-postgres-2 is made"));

        let whole = Stage::of(3).pods.pop().unwrap();
        stage.pods.push(whole);
        stage.unready(2);
        stage.member(2, &json!({"state": "starting", "replication_state": null}));
        let (pod, waits) = next(&stage);
        assert_eq!(pod, None);
        assert!(
            waits.ends_with("pier-postgres-2 does not stream from pier-postgres-0 (starting)"),
            "{waits}"
        );
        stage.member(2, &json!({"state": "running", "replication_state": "streaming"}));
        stage.pod(2)["status"]["conditions"][0]["status"] = "True".into();
        stage.sync["sync_standby"] = name(1).into();
        assert!(
            next(&stage)
                .1
                .ends_with("no commit waits for pier-postgres-2 yet")
        );

        stage.sync["sync_standby"] = format!("{},{}", name(1), name(2)).into();
        assert_eq!(next(&stage).0, Some(name(1)));
        stage.revision(1, "now");
        assert_eq!(next(&stage).0, Some(name(0)), "the primary is the last one");
        stage.revision(0, "now");
        assert_eq!(next(&stage), (None, String::new()));
    }

    #[test]
    fn a_roll_goes_on_with_another_primary() {
        let mut stage = Stage::of(3);
        stage.revision(0, "before");
        stage.leads(1);
        assert_eq!(next(&stage).0, Some(name(0)));
    }

    #[test]
    fn a_roll_stops_where_nobody_is_the_primary_or_a_second_one_lacks_something() {
        let mut stage = Stage::outdated(3);
        stage.leader["leader"] = json!(null);
        assert!(next(&stage).1.ends_with("there is no primary at present"));
        let mut stage = Stage::outdated(3);
        stage.member(1, &json!({"replication_state": null}));
        assert_eq!(
            next(&stage).0,
            Some(name(1)),
            "the one that lacks something goes first"
        );
        stage.member(2, &json!({"replication_state": null}));
        assert_eq!(next(&stage).0, None);
    }

    #[test]
    fn what_does_not_run_is_replaced_at_once_and_the_roll_can_be_taken_back() {
        let mut stage = Stage::of(3);
        stage.revision(2, "bad");
        let pull = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
        stage.container(2, pull.clone());
        stage.member(2, &json!({"state": "stopped"}));
        assert_eq!(next(&stage).0, Some(name(2)));

        // It is of the template now: the roll stops there, and says so.
        for ordinal in 0..2 {
            stage.revision(ordinal, "before");
        }
        stage.revision(2, "now");
        let (pod, waits) = next(&stage);
        assert_eq!(pod, None);
        assert!(
            waits.contains("pier-postgres-2, container postgres: image  cannot be pulled"),
            "{waits}"
        );
        assert!(stage.plan().rolling.unwrap().stuck.is_some());

        // A first start with an image that does not exist, and the image is corrected.
        let mut stage = Stage::outdated(3);
        stage.leader["leader"] = json!(null);
        for ordinal in 0..3 {
            stage.container(ordinal, pull.clone());
        }
        assert_eq!(next(&stage).0, Some(name(0)));
    }

    #[test]
    fn nothing_is_rolled_that_rolls_by_itself_or_does_not_run() {
        let mut stage = Stage::outdated(1);
        stage.strategy = "RollingUpdate";
        assert_eq!(next(&stage), (None, String::new()));
        let mut stage = Stage::outdated(3);
        stage.runs = false;
        assert_eq!(next(&stage), (None, String::new()));
    }
}
