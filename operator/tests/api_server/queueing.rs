//! Previews that wait because as many run as may.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, DeleteParams};
use rates_operator::crd::RatesEnvironment;
use rates_operator::previews::Previews;
use rates_operator::reconcile::reconcile;
use rates_operator::starts::Starts;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::catching_up::caught_up;
use crate::controlling::until;
use crate::server;
use crate::stage::{Stage, seeded};

async fn stage(namespace: &str, limit: usize) -> Stage {
    let mut stage = Stage::new(server::shared(), namespace).await;
    stage.context.as_mut().unwrap().previews = Previews::new(limit);
    stage
}

fn create(stage: &Stage, name: &str, spec: &Value) {
    let manifest = json!({
        "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment", "metadata": {"name": name}, "spec": spec,
    });
    let applied = stage.server.apply(&stage.namespace, &manifest.to_string());
    assert!(applied.ok, "{}", applied.text);
}

fn phase(stage: &Stage, name: &str) -> String {
    stage.field(&format!("renv/{name}"), "{.status.phase}")
}

fn message(stage: &Stage, name: &str) -> String {
    stage.field(&format!("renv/{name}"), "{.status.message}")
}

/// A stage whose operator starts so many at once.
async fn starting(namespace: &str, at_once: u16) -> Stage {
    let mut stage = Stage::new(server::shared(), namespace).await;
    stage.context.as_mut().unwrap().starts = Starts::new(at_once);
    stage
}

async fn look(stage: &Stage, names: &[&str]) {
    let context = stage.context.as_ref().unwrap();
    for name in names {
        caught_up(&stage.admin, &stage.namespace, &context.cache).await;
        let key = format!("{}/{name}", stage.namespace);
        Box::pin(reconcile(&key, 0, context)).await.unwrap();
    }
}

#[tokio::test]
async fn beyond_the_limit_previews_wait_in_the_order_of_their_creation_and_write_nothing() {
    let stage = stage("queued", 1).await;
    // Times of creation are whole seconds, and within one the uid decides: a second apart the order is known.
    for name in ["first", "second", "third"] {
        create(&stage, name, &json!({}));
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    create(&stage, "staging", &json!({"profile": "Staging"}));
    // Whoever is looked at first.
    look(&stage, &["third", "second", "first", "staging"]).await;
    assert_eq!(phase(&stage, "first"), "Pending");
    assert_eq!(phase(&stage, "staging"), "Pending", "only previews count");
    assert!(
        message(&stage, "second").starts_with("place 1 of 2: 1 previews run"),
        "{}",
        message(&stage, "second")
    );
    assert!(message(&stage, "third").starts_with("place 2 of 2: "));
    assert_eq!(phase(&stage, "third"), "Queued");
    let sets: Api<StatefulSet> = stage.api();
    assert!(sets.get_opt("third-postgres").await.unwrap().is_none());
    let claims: Api<PersistentVolumeClaim> = stage.api();
    assert!(claims.get_opt("data-third-postgres-0").await.unwrap().is_none());
    let ready = stage.printed("renv/third", "{.status.conditions[?(@.type==\"Ready\")].reason}");
    assert_eq!(ready, "WaitingForTurn");

    let version = || stage.field("renv/third", "{.metadata.resourceVersion}");
    let before = version();
    look(&stage, &["third", "second", "third"]).await;
    assert_eq!(version(), before);

    // Another operator finds the same order.
    let mut restarted = stage;
    restarted.restart().await;
    restarted.context.as_mut().unwrap().previews = Previews::new(1);
    look(&restarted, &["third", "second"]).await;
    assert_eq!(phase(&restarted, "second"), "Queued");
    assert!(message(&restarted, "third").starts_with("place 2 of 2: "));
}

#[tokio::test]
async fn the_next_one_starts_at_once_when_one_is_deleted_or_suspended() {
    let mut stage = stage("next-one", 1).await;
    let environments: Api<RatesEnvironment> = stage.api();
    create(&stage, "first", &json!({}));
    let stop = CancellationToken::new();
    let running = stage.run(&stop);
    until("the first starts", async || phase(&stage, "first") == "Pending").await;
    create(&stage, "second", &json!({}));
    until("the second waits", async || phase(&stage, "second") == "Queued").await;
    environments
        .delete("first", &DeleteParams::default())
        .await
        .unwrap();
    until("it starts", async || phase(&stage, "second") == "Pending").await;
    create(&stage, "third", &json!({}));
    until("the third waits", async || phase(&stage, "third") == "Queued").await;
    create(&stage, "second", &json!({"suspend": true}));
    until("the second stops", async || {
        phase(&stage, "second") == "Suspended"
    })
    .await;
    until("the third starts", async || phase(&stage, "third") == "Pending").await;
    create(&stage, "second", &json!({"suspend": false}));
    until("who resumes waits too", async || {
        phase(&stage, "second") == "Queued"
    })
    .await;
    assert_eq!(
        stage.field("statefulset/second-postgres", "{.spec.replicas}"),
        "0"
    );
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn of_many_new_previews_a_few_start_at_once_and_the_next_when_one_is_ready() {
    let mut stage = starting("starts-at-once", 1).await;
    stage.until_ready(&json!({})).await;
    let stop = CancellationToken::new();
    let running = stage.run(&stop);
    create(&stage, "first", &json!({}));
    until("the first starts, beside one that is Ready", async || {
        phase(&stage, "first") == "Pending"
    })
    .await;
    create(&stage, "second", &json!({}));
    create(&stage, "staging", &json!({"profile": "Staging"}));
    until("only new previews wait", async || {
        phase(&stage, "staging") == "Pending" && phase(&stage, "second") == "Queued"
    })
    .await;
    assert_eq!(
        message(&stage, "second"),
        "waits to be started: 1 new previews start at once (--starts-at-once)"
    );
    assert!(!stage.exists::<StatefulSet>("second-postgres").await);

    let first = stage.beside("first").await;
    first.database_runs().await;
    until("the seed's Job is made", async || {
        let names = first.names::<Job>().await;
        names.iter().any(|name| name.starts_with("first-seed"))
    })
    .await;
    assert_eq!(phase(&stage, "second"), "Queued");
    first.job_ends("seed", "publish", "Succeeded", &seeded()).await;
    until("the API is made", || first.exists::<Deployment>("first-api")).await;
    first.deployment_rolls_out().await;
    until("the second starts", async || phase(&stage, "second") == "Pending").await;

    create(&stage, "third", &json!({}));
    until("the third waits", async || phase(&stage, "third") == "Queued").await;
    let environments: Api<RatesEnvironment> = stage.api();
    environments
        .delete("second", &DeleteParams::default())
        .await
        .unwrap();
    until("one that goes gives its turn back", async || {
        phase(&stage, "third") == "Pending"
    })
    .await;
    stop.cancel();
    running.await.unwrap();
}
