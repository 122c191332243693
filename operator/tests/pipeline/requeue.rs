//! When an environment is looked at again, though nothing tells of a change.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rates_operator::apply::{Applied, Error};
use rates_operator::observed::Observed;
use rates_operator::plan::Environment;
use rates_operator::reason::Reason;
use rates_operator::reconcile::requeue_after;
use serde_json::json;

use crate::fixture;

const RUNNING: &str = include_str!("fixtures/running.yaml");
/// What is due at a moment is looked at shortly after it.
const SHORTLY: Duration = Duration::from_millis(50);

fn in_seconds(seconds: i64) -> Timestamp {
    fixture::now() + SignedDuration::from_secs(seconds)
}

/// For an environment that runs, with something changed about it.
fn after(change: impl FnOnce(&mut Environment, &mut Observed, &mut Applied)) -> Duration {
    with_problem(None, change)
}

fn with_problem(
    problem: Option<Reason>,
    change: impl FnOnce(&mut Environment, &mut Observed, &mut Applied),
) -> Duration {
    let mut observed = fixture::observed(RUNNING);
    let mut environment = fixture::environment(&observed);
    let mut applied = Applied::default();
    change(&mut environment, &mut observed, &mut applied);
    requeue_after(&environment, &observed, &applied, problem, fixture::now())
}

#[test]
fn one_that_is_settled_is_looked_at_every_ten_minutes() {
    assert_eq!(after(|_, _, _| {}), Duration::from_mins(10));
}

#[test]
fn what_is_due_first_decides() {
    let wait = after(|environment, _, applied| {
        environment.replication.again = Some(in_seconds(7));
        applied.held_back = Some(Duration::from_secs(9));
    });
    assert_eq!(wait, Duration::from_secs(7) + SHORTLY);
    let wait = after(|environment, _, applied| {
        environment.replication.again = Some(in_seconds(7));
        applied.held_back = Some(Duration::from_secs(4));
    });
    assert_eq!(wait, Duration::from_secs(4));
}

#[test]
fn what_was_due_already_is_looked_at_shortly() {
    let wait = after(|environment, _, _| environment.replication.again = Some(in_seconds(-30)));
    assert_eq!(wait, SHORTLY);
}

#[test]
fn what_is_in_the_way_is_looked_at_often_and_what_is_being_deleted_more_often() {
    let wait = |problem| with_problem(Some(problem), |_, _, _| {});
    assert_eq!(wait(Reason::NameTaken), Duration::from_secs(15));
    assert_eq!(wait(Reason::WaitingForDeletion), Duration::from_secs(2));
}

#[test]
fn an_exposure_that_is_in_the_way_is_looked_at_often() {
    let taken = || Error::NameTaken {
        kind: "Ingress".to_owned(),
        name: "lighthouse-api".to_owned(),
    };
    let wait = after(|_, _, applied| applied.unexposed = Some(taken()));
    assert_eq!(wait, Duration::from_secs(15));
}

#[test]
fn a_cluster_without_the_prometheus_operator_is_not_asked_again_and_again() {
    let wait = after(|_, _, applied| applied.unmonitored = Some(Error::NoPodMonitors));
    assert_eq!(wait, Duration::from_mins(10));
}

#[test]
fn why_a_pod_does_not_come_is_asked_for_as_no_watch_tells_it() {
    let wait = after(|_, observed, _| observed.refusals.is_missing = true);
    assert_eq!(wait, Duration::from_secs(6));
}

#[test]
fn a_pod_that_gets_not_ready_is_looked_at_when_it_counts_as_one_that_fails() {
    let unready = |started: Timestamp| {
        after(|_, observed, _| {
            let pod = json!({
                "metadata": {"name": "a-pod", "labels": {"app.kubernetes.io/component": "api"}},
                "status": {"phase": "Running", "containerStatuses": [{
                    "name": "api", "image": "registry.example/api:1", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"running": {"startedAt": started}},
                }]},
            });
            observed.pods.push(serde_json::from_value(pod).unwrap());
        })
    };
    assert_eq!(unready(in_seconds(-5)), Duration::from_secs(10) + SHORTLY);
    assert_eq!(
        unready(in_seconds(-20)),
        Duration::from_mins(10),
        "it counts already"
    );
}
