//! The Secret with the token that batches come with: made once, followed where a person sets it,
//! never overwritten.

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::server;
use crate::stage::{NAME, Stage};

const SECRET: &str = "harbour-api";
const STATUS: &str = "PATCH ratesenvironments/harbour/status";

fn bundled() -> Value {
    json!({"database": {"seed": {"bundled": {}}}})
}

async fn change(stage: &Stage, change: Value) {
    stage
        .api::<Secret>()
        .patch(SECRET, &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
}

/// The token and the line with its digest.
async fn held(stage: &Stage) -> (String, String) {
    let secret = stage.api::<Secret>().get(SECRET).await.unwrap();
    let data = secret.data.unwrap();
    let value = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
    assert_eq!(data.len(), 2);
    (value("ingest-token"), value("ingest-token-sha256"))
}

#[tokio::test]
async fn a_token_is_made_once_and_its_digest_follows_it() {
    let server = server::shared();
    let stage = Stage::new(server, "token").await;
    stage.until_ready(&bundled()).await;
    let (token, digest) = held(&stage).await;
    assert_eq!(token.len(), 32);
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let line = digest.strip_prefix("# owner: ingest-token\n").unwrap();
    assert!(line.len() == 65 && line.ends_with('\n'));
    let owner = stage.field("secret/harbour-api", "{.metadata.ownerReferences[0].uid}");
    assert_eq!(Some(owner), stage.environment().await.uid());
    assert_eq!(
        stage.field(
            "secret/harbour-api",
            "{.metadata.labels.app\\.kubernetes\\.io/component}"
        ),
        "api"
    );
    assert_eq!(stage.reconcile().await, [""; 0], "it is kept");

    let write = ["PATCH secrets/harbour-api"];
    for broken in [Value::Null, json!("MDA=")] {
        change(&stage, json!({"data": {"ingest-token-sha256": broken}})).await;
        assert_eq!(stage.reconcile().await, write, "and no pod is replaced");
        assert_eq!(held(&stage).await, (token.clone(), digest.clone()));
    }

    change(
        &stage,
        json!({"stringData": {"ingest-token": "abcdefghijklmnop"}}),
    )
    .await;
    assert_eq!(stage.reconcile().await, write);
    let set = (
        "abcdefghijklmnop".to_owned(),
        "# owner: ingest-token\nf39dac6cbaba535e2c207cd0cd8f154974223c848f727f98b3564cea569b41cf\n"
            .to_owned(),
    );
    assert_eq!(held(&stage).await, set, "a person's own is kept");
    assert_eq!(stage.reconcile().await, [""; 0]);

    change(&stage, json!({"data": {"ingest-token": null}})).await;
    assert_eq!(stage.reconcile().await, write);
    let second = held(&stage).await;
    assert!(second.0.len() == 32 && second.0 != token && second.1 != digest);

    let secrets = stage.api::<Secret>();
    secrets.delete(SECRET, &DeleteParams::default()).await.unwrap();
    assert_eq!(stage.reconcile().await, write);
    let third = held(&stage).await;
    assert!(third.0.len() == 32 && third.0 != second.0 && third.1 != second.1);
    assert_eq!(stage.reconcile().await, [""; 0]);
}

#[tokio::test]
async fn what_is_no_token_is_told_and_neither_overwritten_nor_shown() {
    let server = server::shared();
    let stage = Stage::new(server, "no-token").await;
    stage.until_ready(&bundled()).await;
    let (_, digest) = held(&stage).await;
    let wrong = "with-a-line-break-at-its-end\n";
    change(&stage, json!({"stringData": {"ingest-token": wrong}})).await;
    let services = stage.api::<Service>();
    services.delete(SECRET, &DeleteParams::default()).await.unwrap();
    assert_eq!(
        stage.reconcile().await,
        ["PATCH services/harbour-api", STATUS],
        "the rest goes on"
    );
    assert_eq!(stage.reconcile().await, [""; 0]);
    assert_eq!(
        held(&stage).await,
        (wrong.to_owned(), digest),
        "the token before it stays valid"
    );
    assert_eq!(stage.condition("Ready").0, "True", "it serves all the same");
    let (holds, reason, message) = stage.condition("Reconciled");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "InvalidSecret"));
    assert!(
        message.starts_with("the ingest-token of Secret harbour-api is not 16 to 128"),
        "{message}"
    );
    assert_eq!(stage.field("renv/harbour", "{.status.message}"), message);
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Degraded");
    let told = server.kubectl(&["-n", &stage.namespace, "get", "events", "-o", "json"], "");
    assert!(told.text.contains("InvalidSecret"), "{}", told.text);
    for text in [stage.field(&format!("renv/{NAME}"), "{.status}"), told.text] {
        assert!(!text.contains(wrong.trim_end()), "{text}");
    }

    change(&stage, json!({"stringData": {"ingest-token": wrong.trim_end()}})).await;
    assert_eq!(stage.reconcile().await, ["PATCH secrets/harbour-api", STATUS]);
    assert_eq!(stage.condition("Ready").0, "True");
    assert_eq!(held(&stage).await.0, wrong.trim_end());
}

#[tokio::test]
async fn one_that_lost_its_owner_is_taken_up_again_with_its_token() {
    let server = server::shared();
    let stage = Stage::new(server, "token-orphaned").await;
    stage.specify(&bundled());
    stage.settle().await;
    let before = held(&stage).await;
    change(&stage, json!({"metadata": {"ownerReferences": null}})).await;
    assert_eq!(stage.reconcile().await, ["PATCH secrets/harbour-api"]);
    assert_eq!(held(&stage).await, before);
    let owner = stage.field("secret/harbour-api", "{.metadata.ownerReferences[0].uid}");
    assert_eq!(Some(owner), stage.environment().await.uid());
}
