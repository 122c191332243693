//! The process: what its probes say, how it hands over, and how it ends.

use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::controlling::until;
use crate::line::Line;
use crate::program::Program;
use crate::server::{self, Server};
use crate::stage::Stage;

async fn lease(server: &Server, namespace: &str) -> Lease {
    let leases: Api<Lease> = Api::namespaced(server.client().await, namespace);
    leases.get("rates-operator").await.unwrap()
}

/// An operator of one namespace, with its lease there.
fn operator(server: &Server, namespace: &str, identity: &str) -> Program {
    let settings = [
        ("RATES_WATCH_NAMESPACE", namespace),
        ("RATES_LEASE_NAMESPACE", namespace),
        ("RATES_IDENTITY", identity),
    ];
    Program::start(server.kubeconfig(), settings)
}

#[tokio::test]
async fn a_planned_end_hands_over_within_two_seconds_and_a_kill_when_the_lease_expires() {
    let server = server::shared();
    let namespace = server.namespace("handing-over").await;
    let first = operator(server, &namespace, "first");
    first.until_readiness(200, "leading").await;
    assert!(first.get("/livez").unwrap().contains(" 200 "));

    // Ready although it does not lead: a rolling update waits for that.
    let second = operator(server, &namespace, "second");
    second.until_readiness(200, "standing by: first leads").await;

    let told = Instant::now();
    first.signal("TERM");
    second.until_readiness(200, "leading").await;
    let took = told.elapsed();
    println!(
        "SIGTERM to the next one leading, its environments listed: {} ms",
        took.as_millis()
    );
    // Far less than a lease, which is of 15 s.
    assert!(took < Duration::from_secs(8), "{took:?}");
    let (ended, log) = first.end().await;
    assert!(ended.success(), "{log}");

    let third = operator(server, &namespace, "third");
    third.until_readiness(200, "standing by: second leads").await;
    let killed = Instant::now();
    second.signal("KILL");
    third.until_readiness(200, "leading").await;
    let took = killed.elapsed();
    println!("SIGKILL to the next one leading: {:.1} s", took.as_secs_f64());
    // Less the period of renewal, by which the last one may have been earlier.
    assert!(took >= Duration::from_secs(12), "a lease is waited for: {took:?}");
    assert!(took < Duration::from_secs(25), "{took:?}");

    third.signal("TERM");
    assert!(third.end().await.0.success());
    let spec = lease(server, &namespace).await.spec.unwrap();
    assert_eq!(spec.holder_identity, None, "given up, for the next one");
    assert_eq!(spec.lease_transitions, Some(2));
}

#[tokio::test]
async fn a_process_that_is_cut_off_stops_before_its_lease_ends_says_why_and_leads_again() {
    let server = server::shared();
    let stage = Stage::new(server, "cut-off").await;
    let line = Line::to(server).await;
    let (kubeconfig, _) = server.by_way_of(line.port).await;
    let settings = [
        ("RATES_LEASE_NAMESPACE", "cut-off"),
        ("RATES_WATCH_NAMESPACE", "cut-off"),
    ];
    let process = Program::start(&kubeconfig, settings);
    process.until_readiness(200, "leading").await;
    stage.specify(&json!({"database": {"seed": {"bundled": {}}}}));
    until("the StatefulSet is made", || {
        stage.exists::<StatefulSet>("harbour-postgres")
    })
    .await;

    let cut = Instant::now();
    line.cut();
    process.until_readiness(503, "waiting for ").await;
    let took = cut.elapsed();
    assert!(
        took < Duration::from_secs(13),
        "its lease is of 15 s, renewed up to 2 s before, and it led for {took:?}"
    );
    let log = process.log();
    assert!(
        log.contains("the lease could not be renewed in time: the API server did not answer in time"),
        "{log}"
    );
    // The kubelet has no reason to restart it, and Prometheus sees that nobody leads, and nothing that is out of date.
    assert!(process.get("/livez").unwrap().contains(" 200 "));
    let metrics = process.get("/metrics").unwrap();
    assert!(metrics.contains("rates_operator_leading 0\n"), "{metrics}");
    assert!(!metrics.contains("rates_operator_environments{"), "{metrics}");
    assert!(!metrics.contains("rates_operator_kind_followed{"), "{metrics}");

    line.restore();
    process.until_readiness(200, "leading").await;
    let metrics = process.get("/metrics").unwrap();
    assert!(metrics.contains("rates_operator_leading 1\n"), "{metrics}");
    stage.database_runs().await;
    until("the Job is made", || stage.has_job("seed")).await;
    process.signal("TERM");
    assert!(process.end().await.0.success());
}

#[tokio::test]
async fn a_process_whose_lease_is_taken_says_by_whom_and_stands_by() {
    let server = server::shared();
    let namespace = server.namespace("taken").await;
    let process = operator(server, &namespace, "me");
    process.until_readiness(200, "leading").await;
    let leases: Api<Lease> = Api::namespaced(server.client().await, &namespace);
    let patch = Patch::Merge(json!({"spec": {"holderIdentity": "a person"}}));
    leases
        .patch("rates-operator", &PatchParams::default(), &patch)
        .await
        .unwrap();
    process.until_readiness(200, "standing by: a person leads").await;
    let log = process.log();
    assert!(log.contains("the lease was taken by a person"), "{log}");
    // A person does not renew it.
    process.until_readiness(200, "leading").await;
}

#[test]
fn a_start_without_an_image_says_what_to_set() {
    let output = Command::new(env!("CARGO_BIN_EXE_rates-operator"))
        .arg("run")
        .env_clear()
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && message.contains("set --api-image or RATES_API_IMAGE"),
        "{message}"
    );
}
