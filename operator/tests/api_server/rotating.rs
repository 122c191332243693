//! A new token for batches, on request and without a batch refused.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use rates_operator::crd::RatesEnvironment;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::server;
use crate::stage::{NAME, Stage};

async fn asked_for(stage: &Stage, rotation: Option<&str>) {
    let change = json!({"metadata": {"annotations": {"rates.internal/rotate-ingest-token": rotation}}});
    stage
        .api::<RatesEnvironment>()
        .patch(NAME, &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
}

async fn value(stage: &Stage, key: &str) -> String {
    let secret: Secret = stage.api().get("harbour-api").await.unwrap();
    let value = secret.data.unwrap().remove(key);
    value.map_or_else(String::new, |value| String::from_utf8(value.0).unwrap())
}

async fn rotated(stage: &Stage) -> Option<String> {
    let secret: Secret = stage.api().get("harbour-api").await.unwrap();
    secret
        .annotations()
        .get("rates.internal/rotated-ingest-token")
        .cloned()
}

/// The digests of tokens, which all have one owner.
fn lines(tokens: &[&str]) -> String {
    let digests = tokens.iter().map(|token| line(token));
    "# owner: ingest-token\n".to_owned() + &digests.collect::<String>()
}

fn line(token: &str) -> String {
    format!("{:x}\n", Sha256::digest(token))
}

/// Plays the kubelet and the Deployment's controller: a pod as the template has it now.
async fn api_pod(stage: &Stage, name: &str) {
    let mark = stage.field(
        "deployment/harbour-api",
        r"{.spec.template.metadata.annotations.rates\.internal/ingest-token-rotation}",
    );
    stage.pod(name, "api", &json!({}), None).await;
    if !mark.is_empty() {
        let change = json!({"metadata": {"annotations": {"rates.internal/ingest-token-rotation": mark}}});
        stage
            .api::<Pod>()
            .patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await
            .unwrap();
    }
}

async fn ends(stage: &Stage, pod: &str) {
    let at_once = DeleteParams::default().grace_period(0);
    stage.api::<Pod>().delete(pod, &at_once).await.unwrap();
}

#[tokio::test]
async fn a_new_token_is_published_once_every_pod_knows_it_and_the_old_one_is_taken_for_a_while() {
    let server = server::shared();
    let stage = Stage::new(server, "rotating").await;
    stage
        .until_ready(&json!({"database": {"seed": {"bundled": {}}}}))
        .await;
    let old = value(&stage, "ingest-token").await;
    api_pod(&stage, "old-pod").await;

    asked_for(&stage, Some("monday")).await;
    let writes = stage.reconcile().await;
    assert_eq!(
        writes[..2],
        ["PATCH secrets/harbour-api", "PATCH deployments/harbour-api"],
        "the Secret first, so that new pods know both"
    );
    let next = value(&stage, "next-ingest-token").await;
    assert!(next.len() == 32 && next != old);
    assert_eq!(value(&stage, "ingest-token").await, old, "not published yet");
    assert_eq!(
        value(&stage, "ingest-token-sha256").await,
        lines(&[&old, &next]),
        "both are accepted"
    );

    api_pod(&stage, "new-pod").await;
    stage.deployment_rolls_out().await;
    stage.settle().await;
    assert_eq!(
        value(&stage, "ingest-token").await,
        old,
        "an old pod is still there"
    );
    assert_eq!(
        value(&stage, "next-ingest-token").await,
        next,
        "and the next one the same"
    );

    ends(&stage, "old-pod").await;
    assert_eq!(stage.reconcile().await, ["PATCH secrets/harbour-api"]);
    assert_eq!(value(&stage, "ingest-token").await, next);
    assert_eq!(value(&stage, "next-ingest-token").await, "");
    assert_eq!(rotated(&stage).await.as_deref(), Some("monday"));
    assert_eq!(
        value(&stage, "ingest-token-sha256").await,
        lines(&[&next, &old]),
        "the old one is accepted for some minutes"
    );
    stage.settle().await;

    // The minutes are over.
    let over = json!({"metadata": {"annotations": {"rates.internal/previous-ingest-token-until": "2021-01-01T00:00:00Z"}}});
    stage
        .api::<Secret>()
        .patch("harbour-api", &PatchParams::default(), &Patch::Merge(over))
        .await
        .unwrap();
    assert_eq!(stage.reconcile().await, ["PATCH secrets/harbour-api"]);
    assert_eq!(value(&stage, "ingest-token-sha256").await, lines(&[&next]));
    assert_eq!(value(&stage, "previous-ingest-token-sha256").await, "");

    // The same word again, or none, asks for nothing.
    asked_for(&stage, None).await;
    assert_eq!(stage.reconcile().await, [""; 0]);
    asked_for(&stage, Some("monday")).await;
    assert_eq!(stage.reconcile().await, [""; 0]);
    asked_for(&stage, Some("tuesday")).await;
    assert!(!stage.reconcile().await.is_empty());
    assert_eq!(value(&stage, "ingest-token").await, next);
}

#[tokio::test]
async fn an_environment_that_is_made_with_the_annotation_has_a_new_token_already() {
    let server = server::shared();
    let stage = Stage::new(server, "rotated-first").await;
    let manifest: Value = json!({
        "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
        "metadata": {"name": NAME, "annotations": {"rates.internal/rotate-ingest-token": "first"}}, "spec": {},
    });
    assert!(server.apply(&stage.namespace, &manifest.to_string()).ok);
    stage.settle().await;
    let token = value(&stage, "ingest-token").await;
    assert_eq!(value(&stage, "ingest-token-sha256").await, lines(&[&token]));
    assert_eq!(value(&stage, "next-ingest-token").await, "");
    assert_eq!(rotated(&stage).await.as_deref(), Some("first"));
}
