//! `HighlyAvailable`: whether another instance can take over, and what the status says of those that cannot.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use rates_operator::apply::Applied;
use rates_operator::crd::RatesEnvironmentStatus;
use rates_operator::observed::Observed;
use rates_operator::status;
use serde_json::{Value, json};

use crate::fixture;
use crate::instances::{RUNNING, annotate, pod, replicated, settings, without_pod};

fn status_of(observed: &Observed) -> RatesEnvironmentStatus {
    status_with(observed, Vec::new())
}

fn status_with(observed: &Observed, deployments: Vec<Deployment>) -> RatesEnvironmentStatus {
    let environment = fixture::environment(observed);
    let applied = Applied {
        claims: observed.claims.clone(),
        stateful_set: observed.stateful_set().cloned(),
        deployments,
        ..Applied::default()
    };
    status::status(&environment, observed, &applied, None, fixture::now())
}

/// The message while all pods of the API serve.
fn message_of(observed: &Observed) -> String {
    let deployment = json!({
        "metadata": {"name": "fleet-api", "generation": 1}, "spec": {"replicas": 3, "selector": {}, "template": {}},
        "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3,
            "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}]},
    });
    let deployment = serde_json::from_value(deployment).unwrap();
    status_with(observed, vec![deployment]).message.unwrap()
}

/// Status, reason and message of the condition.
fn available(observed: &Observed) -> (String, String, String) {
    let status = status_of(observed);
    let (holds, reason, message) = fixture::said(&status, "HighlyAvailable");
    (holds.to_owned(), reason.to_owned(), message.to_owned())
}

/// Commits wait for one of the two standbys alone.
fn without_the_second_standby(observed: &mut Observed) {
    let sync = json!({"leader": "fleet-postgres-1", "sync_standby": "fleet-postgres-0", "quorum": "0"});
    annotate(observed, "fleet-postgres-sync", &sync);
}

#[test]
fn another_instance_can_take_over_also_without_one_of_two_standbys() {
    let mut observed = replicated();
    let (status, reason, message) = available(&observed);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Replicated"));
    assert_eq!(
        message,
        "fleet-postgres-0 or fleet-postgres-2 can take over from fleet-postgres-1"
    );
    let database = status_of(&observed).database.unwrap();
    assert_eq!(database.primary.as_deref(), Some("fleet-postgres-1"));
    assert_eq!(
        (database.synchronous_standbys, database.timeline),
        (Some(2), Some(2))
    );

    without_pod(&mut observed, "fleet-postgres-2");
    let (status, ..) = available(&observed);
    assert_eq!(
        status, "False",
        "one of two on record does not know whether it has everything"
    );
    without_the_second_standby(&mut observed);
    let (status, _, message) = available(&observed);
    assert_eq!(status, "True");
    assert!(
        message.ends_with("; fleet-postgres-2 is not there yet"),
        "{message}"
    );
}

#[test]
fn what_an_instance_waits_for_is_told_while_the_environment_stays_ready() {
    let mut observed = replicated();
    without_the_second_standby(&mut observed);
    let unplaced = serde_json::from_value(unplaced("2031-03-04T05:05:00Z")).unwrap();
    pod(&mut observed, "fleet-postgres-2").status = Some(unplaced);
    let (status, _, message) = available(&observed);
    assert_eq!(status, "True");
    assert!(
        message.contains("fleet-postgres-2 waits for a node: 0/2 nodes are available"),
        "{message}"
    );
    let status = status_of(&observed);
    assert_ne!(fixture::said(&status, "Progressing").1, "WaitingForNode");
    assert_eq!(fixture::said(&status, "DatabaseReady").0, "True");
}

/// One of two standbys does not run, and commits do not wait for it any more.
fn with_a_failing_standby(change: impl FnOnce(&mut Pod)) -> Observed {
    let mut observed = replicated();
    without_the_second_standby(&mut observed);
    let pod = pod(&mut observed, "fleet-postgres-2");
    let stopped = r#"{"state":"starting","role":"replica"}"#;
    pod.annotations_mut()
        .insert("status".to_owned(), stopped.to_owned());
    change(pod);
    observed
}

fn unplaced(since: &str) -> Value {
    json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.",
        "lastTransitionTime": since,
    }]})
}

const FULL: &str = "could not write lock file \"postmaster.pid\": No space left on device";
const READ_ONLY: &str = "could not open file \"postmaster.pid\": Read-only file system";

/// What happens to a standby, and the words of it that the status has to say.
type FailingCase = (fn(&mut Pod), &'static str);

fn does_not_start(pod: &mut Pod, words: &str) {
    let annotations = pod.annotations_mut();
    annotations.insert("rates.internal/start-failure".to_owned(), words.to_owned());
}

#[test]
fn a_standby_that_fails_is_named_with_the_reason_while_another_can_take_over() {
    let crash = |pod: &mut Pod| {
        let refused = "rates-postgres: /data is not writable for user 999";
        let status = json!({"phase": "Running", "containerStatuses": [{
            "name": "postgres", "image": "", "imageID": "", "ready": false, "restartCount": 4,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "message": refused}},
        }]});
        pod.status = Some(serde_json::from_value(status).unwrap());
    };
    let no_node = |pod: &mut Pod| {
        pod.status = Some(serde_json::from_value(unplaced("2031-03-04T05:00:00Z")).unwrap());
    };
    let cases: [FailingCase; 4] = [
        (|pod| does_not_start(pod, FULL), FULL),
        (|pod| does_not_start(pod, READ_ONLY), READ_ONLY),
        (crash, "/data is not writable for user 999"),
        (no_node, "0/2 nodes are available"),
    ];
    for (change, why) in cases {
        let observed = with_a_failing_standby(change);
        let (holds, reason, message) = available(&observed);
        assert_eq!(
            (holds.as_str(), reason.as_str()),
            ("True", "StandbyFailed"),
            "{message}"
        );
        assert!(
            message.contains("fleet-postgres-2") && message.contains(why),
            "{message}"
        );
        let told = message_of(&observed);
        assert!(told.contains(why), "{told}");
        let mut alone = observed;
        without_pod(&mut alone, "fleet-postgres-0");
        let (holds, reason, message) = available(&alone);
        assert_eq!(
            (holds.as_str(), reason.as_str()),
            ("False", "StandbyFailed"),
            "{message}"
        );
    }
    let starts = with_a_failing_standby(|_| ());
    assert_eq!(available(&starts).1, "Replicated", "it may pass");
    assert_eq!(
        message_of(&starts),
        "database: fleet-postgres-0 can take over from fleet-postgres-1; fleet-postgres-2: starting"
    );
    assert_eq!(message_of(&replicated()), "everything is as specified");
}

#[test]
fn nobody_takes_over_while_patroni_is_paused() {
    let mut observed = replicated();
    let mut paused = settings(&observed);
    paused["pause"] = json!(true);
    let annotations = json!({"initialize": "740174017401", "config": paused.to_string()});
    annotate(&mut observed, "fleet-postgres-config", &annotations);
    let (holds, reason, message) = available(&observed);
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "Paused"));
    assert!(message.contains("ConfigMap fleet-postgres-config"), "{message}");
    assert_eq!(settings(&observed)["pause"], true, "a person's choice stays");
}

#[test]
fn a_loss_is_told_apart_from_standbys_that_are_still_to_come() {
    let mut observed = replicated();
    without_pod(&mut observed, "fleet-postgres-0");
    without_pod(&mut observed, "fleet-postgres-2");
    assert_eq!(available(&observed).1, "WaitingForStandby");
    let before = status_of(&replicated());
    observed.environment.status = Some(before);
    assert_eq!(
        available(&observed).1,
        "Reconnecting",
        "as after each change of the primary"
    );
    let status = status_of(&observed);
    assert_eq!(
        status::reconsidered_after(&status, fixture::now()),
        Some(Duration::from_secs(15))
    );
    observed.environment.status = Some(status);
    for condition in &mut observed.environment.status.as_mut().unwrap().conditions {
        condition.last_transition_time = serde_json::from_value(json!("2031-03-04T05:05:52Z")).unwrap();
    }
    assert_eq!(available(&observed).1, "StandbyLost");
    without_pod(&mut observed, "fleet-postgres-1");
    assert_eq!(available(&observed).1, "NoPrimary");
}

#[test]
fn a_single_instance_says_that_it_is_one() {
    let (status, reason, _) = available(&fixture::observed(RUNNING));
    assert_eq!((status.as_str(), reason.as_str()), ("False", "SingleInstance"));
}

#[test]
fn of_two_that_say_they_are_the_primary_the_one_with_the_leader_key_is() {
    let mut observed = replicated();
    let labels = pod(&mut observed, "fleet-postgres-0").labels_mut();
    labels.insert("rates.internal/role".to_owned(), "primary".to_owned());
    let database = status_of(&observed).database.unwrap();
    assert_eq!(database.primary.as_deref(), Some("fleet-postgres-1"));
}
