//! The controller by its watches, the lease, and the process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use rates_operator::controller::{Scope, controller};
use rates_operator::leader::Candidate;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::server;
use crate::stage::Stage;

/// Waits for what the cluster is to become.
async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn watches_bring_every_change_to_a_reconcile() {
    let Some(server) = server::shared() else { return };
    let mut stage = Stage::new(server, "watched").await;
    let stop = CancellationToken::new();
    let scope = Scope {
        namespace: Some(stage.namespace.clone()),
        concurrency: 2,
    };
    let (context, triggered) = stage.take_context();
    let running = tokio::spawn(controller(context, scope, triggered, stop.clone()));

    stage.specify(&json!({"database": {"seed": {"configMap": {"name": "dump", "key": "rates.sql"}}}}));
    until("the StatefulSet is made", || {
        stage.exists::<StatefulSet>("harbour-postgres")
    })
    .await;
    until("the missing ConfigMap is told", async || {
        stage.condition("Seeded").1 == "SourceMissing"
    })
    .await;

    let dump = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dump"}, "data": {"rates.sql": ""}});
    assert!(server.apply(&stage.namespace, &dump.to_string()).ok);
    let jobs = stage.api::<Job>();
    until("its appearance starts the seed", async || {
        !jobs.list(&ListParams::default()).await.unwrap().items.is_empty()
    })
    .await;

    let services = stage.api::<Service>();
    let uid = services.get("harbour-api").await.unwrap().uid();
    services
        .delete("harbour-api", &DeleteParams::default())
        .await
        .unwrap();
    until("a deleted child comes back", async || {
        services
            .get_opt("harbour-api")
            .await
            .unwrap()
            .is_some_and(|service| service.uid() != uid)
    })
    .await;

    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), running)
        .await
        .expect("it ends when told to")
        .unwrap();
}

#[tokio::test]
async fn one_leads_at_a_time_and_the_next_one_takes_over_when_it_goes() {
    let Some(server) = server::shared() else { return };
    let namespace = server.namespace("leading").await;
    let candidate = async |name: &str| {
        Candidate::new(
            server.client().await,
            &namespace,
            "rates-operator",
            name.to_owned(),
        )
    };
    let (first, second) = (candidate("first").await, candidate("second").await);
    first
        .acquire(|what| panic!("nobody to wait for, but: {what}"))
        .await;
    // A restarted container of the same pod need not wait.
    candidate("first")
        .await
        .acquire(|what| panic!("its own lease, but: {what}"))
        .await;

    let (told, mut waits_for) = tokio::sync::mpsc::unbounded_channel();
    let taking = tokio::spawn(async move {
        second.acquire(|what| told.send(what).unwrap()).await;
        second
    });
    assert_eq!(waits_for.recv().await.unwrap(), "the lease that first holds");
    first.release().await;
    let second = tokio::time::timeout(Duration::from_secs(10), taking)
        .await
        .unwrap()
        .unwrap();
    let lost = tokio::time::timeout(Duration::from_secs(10), first.keep())
        .await
        .unwrap();
    assert_eq!(lost.to_string(), "the lease was taken by second");
    second.release().await;
}

fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[tokio::test]
async fn the_process_says_when_it_is_ready_and_ends_on_sigterm() {
    let Some(server) = server::shared() else { return };
    let namespace = server.namespace("process").await;
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let mut process = Command::new(env!("CARGO_BIN_EXE_rates-operator"))
        .args([
            "run",
            "--api-image",
            "a:1",
            "--postgres-image",
            "13.5=p:1",
            "--listen",
            &address,
        ])
        .args([
            "--watch-namespace",
            &namespace,
            "--lease-namespace",
            &namespace,
            "--identity",
            "me",
        ])
        .env("KUBECONFIG", server.kubeconfig())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("/readyz is 200", async || {
        get(&address, "/readyz").is_some_and(|answer| answer.contains(" 200 "))
    })
    .await;
    assert!(get(&address, "/livez").unwrap().contains(" 200 "));
    let ended = Command::new("kill")
        .args(["-TERM", &process.id().to_string()])
        .status()
        .unwrap();
    assert!(ended.success());
    until("it ends", {
        let process = std::cell::RefCell::new(&mut process);
        move || {
            let ended = process.borrow_mut().try_wait().unwrap().is_some();
            async move { ended }
        }
    })
    .await;
    assert!(process.wait().unwrap().success());
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
        Api::namespaced(server.client().await, &namespace);
    let lease = leases.get("rates-operator").await.unwrap();
    assert_eq!(
        lease.spec.unwrap().holder_identity,
        None,
        "given up, for the next one"
    );
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
