//! What pods in trouble make of the status: named, the same whatever state the container is passing
//! through, and gone when it is mended.

use k8s_openapi::api::core::v1::Pod;
use rates_operator::apply::Applied;
use rates_operator::crd::{Phase, RatesEnvironmentStatus};
use rates_operator::observed::Observed;
use rates_operator::status;
use serde_json::{Value, json};

use crate::fixture::{self, said};

/// The status with one pod of a component, whose container is as given.
fn with(component: &str, container: &Value) -> RatesEnvironmentStatus {
    of(&observed_with(component, container, &json!({})))
}

/// What is observed then; the pod has annotations.
fn observed_with(component: &str, container: &Value, annotations: &Value) -> Observed {
    let mut observed = fixture::observed(include_str!("fixtures/running.yaml"));
    let name = if component == "postgres" {
        observed.identity.postgres_pod(0)
    } else {
        "a-pod".to_owned()
    };
    let mut state = json!({"name": component, "image": "registry.example/x:1", "imageID": "", "ready": false, "restartCount": 0});
    state
        .as_object_mut()
        .unwrap()
        .extend(container.as_object().unwrap().clone());
    let labels = json!({"app.kubernetes.io/component": component});
    let pod = json!({
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "status": {"phase": "Running", "containerStatuses": [state]},
    });
    observed.pods.push(serde_json::from_value::<Pod>(pod).unwrap());
    observed
}

fn of(observed: &Observed) -> RatesEnvironmentStatus {
    let deployment = json!({
        "metadata": {"name": "lighthouse-api", "generation": 1}, "spec": {"replicas": 3, "selector": {}, "template": {}},
        "status": {"observedGeneration": 1, "replicas": 4, "updatedReplicas": 1, "readyReplicas": 3, "availableReplicas": 3},
    });
    let applied = Applied {
        deployments: vec![serde_json::from_value(deployment).unwrap()],
        claims: observed.claims.clone(),
        ..Applied::default()
    };
    status::status(
        &fixture::environment(observed),
        observed,
        &applied,
        None,
        fixture::now(),
    )
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"state": {"waiting": {"reason": reason, "message": message}}})
}

#[test]
fn an_image_that_cannot_be_pulled_is_named_while_the_old_pods_serve() {
    let cause = "failed to resolve registry.example/x:1: not found";
    let trying = with("api", &waiting("ErrImagePull", cause));
    let resting = with(
        "api",
        &waiting(
            "ImagePullBackOff",
            &format!("Back-off pulling image \"registry.example/x:1\": ErrImagePull: {cause}"),
        ),
    );
    assert_eq!(trying, resting, "no condition flaps");
    let message = format!("api: a-pod, container api: image registry.example/x:1 cannot be pulled: {cause}");
    assert_eq!(
        said(&trying, "Progressing"),
        ("False", "ImagePullFailed", message.as_str())
    );
    assert_eq!(said(&trying, "ApiAvailable").0, "True", "three pods serve");
    assert_eq!(trying.phase, Some(Phase::Degraded));
    assert_eq!(trying.message.as_deref(), Some(message.as_str()));
}

#[test]
fn a_crash_loop_is_named_with_its_exit_code_and_last_words_also_between_two_crashes() {
    let end = json!({"terminated": {
        "exitCode": 2, "reason": "Error",
        "message": "starting\nerror: unknown setting RATES_COLOUR\n\nFor more information, try '--help'.\n",
        "startedAt": "2031-03-04T05:05:00Z", "finishedAt": "2031-03-04T05:05:01Z",
    }});
    let mut resting = waiting("CrashLoopBackOff", "back-off 20s restarting failed container");
    resting["lastState"] = end.clone();
    resting["restartCount"] = json!(2);
    let mut running = json!({"state": {"running": {"startedAt": "2031-03-04T05:06:05Z"}}, "restartCount": 2});
    running["lastState"] = end.clone();
    let status = with("api", &resting);
    assert_eq!(status, with("api", &running), "no condition flaps");
    assert_eq!(
        said(&status, "Progressing"),
        (
            "False",
            "CrashLoop",
            "api: a-pod, container api: CrashLoopBackOff; it last ended with exit code 2: error: unknown setting RATES_COLOUR"
        )
    );
    running["restartCount"] = json!(1);
    assert_ne!(
        said(&with("api", &running), "Progressing").1,
        "CrashLoop",
        "one restart is no loop"
    );
    running["restartCount"] = json!(5);
    running["lastState"]["terminated"]["startedAt"] = json!("2031-03-03T05:05:00Z");
    assert_ne!(
        said(&with("api", &running), "Progressing").1,
        "CrashLoop",
        "it ran for a day"
    );
    running["lastState"] = end;
    running["ready"] = json!(true);
    assert_ne!(
        said(&with("api", &running), "Progressing").1,
        "CrashLoop",
        "it is mended"
    );
}

#[test]
fn a_container_that_ran_out_of_memory_or_disk_says_so() {
    let end = |code: i32, reason: &str, message: &str| {
        let mut state = waiting("CrashLoopBackOff", "back-off");
        state["lastState"] = json!({"terminated": {"exitCode": code, "reason": reason, "message": message}});
        state
    };
    let status = with("postgres", &end(137, "OOMKilled", ""));
    assert_eq!(
        said(&status, "DatabaseReady"),
        (
            "False",
            "OutOfMemory",
            "lighthouse-postgres-0, container postgres: CrashLoopBackOff; it last ended with exit code 137 (OOMKilled): it needs more than its limit of memory"
        )
    );
    assert_eq!(said(&status, "Ready").1, "OutOfMemory");
    assert_eq!(status.phase, Some(Phase::Degraded));
    let full = end(
        1,
        "Error",
        "PANIC: could not write to file \"pg_wal/xlogtemp.42\": No space left on device\nbye",
    );
    let status = with("postgres", &full);
    let (_, reason, message) = said(&status, "DatabaseReady");
    assert_eq!(reason, "DiskFull");
    assert!(message.ends_with("No space left on device"), "{message}");
}

#[test]
fn a_server_that_does_not_start_is_named_with_its_words() {
    let running = json!({"state": {"running": {"startedAt": "2031-03-04T05:06:05Z"}}});
    let words = "could not map anonymous shared memory: Cannot allocate memory";
    let told = json!({"rates.internal/start-failure": words});
    let status = of(&observed_with("postgres", &running, &told));
    let message = format!("PostgreSQL does not start in lighthouse-postgres-0: {words}");
    assert_eq!(
        said(&status, "DatabaseReady"),
        ("False", "StartFailed", message.as_str())
    );
    assert_eq!(said(&status, "Ready").1, "StartFailed");
    assert_eq!(status.phase, Some(Phase::Degraded));
    let status = with("postgres", &running);
    assert_eq!(said(&status, "DatabaseReady").1, "Starting");
}

#[test]
fn what_a_container_lacks_is_named() {
    let status = with(
        "api",
        &waiting("CreateContainerConfigError", "secret \"proxy\" not found"),
    );
    assert_eq!(
        said(&status, "Progressing"),
        (
            "False",
            "ContainerNotStarted",
            "api: a-pod, container api: CreateContainerConfigError: secret \"proxy\" not found"
        )
    );
}

/// With a pod that has had no node since a moment.
fn unscheduled(component: &str, name: &str, since: &str) -> RatesEnvironmentStatus {
    let mut observed = fixture::observed(include_str!("fixtures/running.yaml"));
    let pod = json!({
        "metadata": {"name": name, "labels": {"app.kubernetes.io/component": component}},
        "status": {"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": since,
            "message": "0/1 nodes are available: 1 Insufficient cpu.",
        }]},
    });
    observed.pods.push(serde_json::from_value::<Pod>(pod).unwrap());
    of(&observed)
}

#[test]
fn a_pod_that_finds_no_node_for_five_minutes_is_named() {
    // It is 05:06:07.
    let status = unscheduled("api", "a-pod", "2031-03-04T05:01:07Z");
    assert_eq!(
        said(&status, "Progressing"),
        (
            "False",
            "Unschedulable",
            "api: a-pod finds no node: 0/1 nodes are available: 1 Insufficient cpu."
        )
    );
    assert_eq!(status.phase, Some(Phase::Degraded));
}

#[test]
fn a_pod_that_waits_for_a_node_to_be_added_is_a_change_on_its_way() {
    let words = "a-pod waits for a node: 0/1 nodes are available: 1 Insufficient cpu.";
    let status = unscheduled("api", "a-pod", "2031-03-04T05:01:08Z");
    assert_eq!(said(&status, "Progressing"), ("True", "WaitingForNode", words));
    assert_eq!(status.phase, Some(Phase::Progressing));

    let database = unscheduled("postgres", "lighthouse-postgres-0", "2031-03-04T05:01:08Z");
    assert_eq!(said(&database, "DatabaseReady").1, "WaitingForNode");
    assert_eq!(said(&database, "Ready").1, "WaitingForNode");
    assert_eq!(database.phase, Some(Phase::Progressing));
    assert!(
        database
            .message
            .as_ref()
            .unwrap()
            .contains("waits for a node: 0/1 nodes"),
        "{database:?}"
    );
}
