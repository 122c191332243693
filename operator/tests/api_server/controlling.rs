//! The controller by its watches.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::server;
use crate::stage::Stage;

/// Waits for what the cluster is to become.
pub async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn watches_bring_every_change_to_a_reconcile() {
    let server = server::shared();
    let mut stage = Stage::new(server, "watched").await;
    let stop = CancellationToken::new();
    let running = stage.run(&stop);

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
async fn what_is_under_way_when_it_is_told_to_end_is_finished() {
    let server = server::shared();
    let mut stage = Stage::new(server, "finishing").await;
    let stop = CancellationToken::new();
    let running = stage.run(&stop);
    stage.specify(&json!({"database": {"seed": {"bundled": {}}}}));
    while !stage.exists::<Secret>("harbour-postgres").await {}
    // Its first write was seen: there is more to come, and the status is the last.
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), running)
        .await
        .expect("it ends when told to")
        .unwrap();
    assert!(stage.exists::<StatefulSet>("harbour-postgres").await);
    assert_eq!(stage.field("renv/harbour", "{.status.observedGeneration}"), "1");
}
