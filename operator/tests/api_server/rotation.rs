//! The application's password, changed through the other login, step by step.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::server;
use crate::stage::Stage;

pub async fn ask(stage: &Stage, value: &str) {
    annotate::<rates_operator::crd::RatesEnvironment>(
        stage,
        "harbour",
        "rates.internal/rotate-password",
        value,
    )
    .await;
}

pub async fn annotate<K>(stage: &Stage, name: &str, key: &str, value: &str)
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
    stage
        .api::<K>()
        .patch(name, &PatchParams::default(), &patch)
        .await
        .unwrap();
}

pub async fn secret(stage: &Stage, name: &str) -> Value {
    let secret = stage.api::<Secret>().get(name).await.unwrap();
    let data = secret.data.unwrap().into_iter();
    data.map(|(key, value)| (key, Value::from(String::from_utf8(value.0).unwrap())))
        .collect()
}

/// From the annotation to the pods that use the new login.
pub async fn until_switched(stage: &Stage) -> (Value, Value) {
    let before = secret(stage, "harbour-postgres").await;
    stage.settle().await;
    let admin = secret(stage, "harbour-postgres-admin").await;
    assert_eq!(
        secret(stage, "harbour-postgres").await,
        before,
        "nothing uses it before it works"
    );
    assert_ne!(admin["next-username"], before["username"]);
    assert_eq!(admin["next-password"].as_str().unwrap().len(), 32);
    assert!(
        stage
            .field("renv/harbour", "{.status.database.rotation}")
            .starts_with("preparing the login")
    );

    // The role manager tells.
    annotate::<Pod>(
        stage,
        "harbour-postgres-0",
        "rates.internal/next-login",
        admin["next-id"].as_str().unwrap(),
    )
    .await;
    stage.settle().await;
    let app = secret(stage, "harbour-postgres").await;
    assert_eq!(
        (&app["username"], &app["password"]),
        (&admin["next-username"], &admin["next-password"])
    );
    let uri = format!(
        "{}:{}@",
        app["username"].as_str().unwrap(),
        app["password"].as_str().unwrap()
    );
    assert!(app["uri"].as_str().unwrap().contains(&uri));
    assert!(
        stage
            .field("renv/harbour", "{.status.database.rotation}")
            .starts_with("replacing the pods")
    );
    assert_eq!(
        secret(stage, "harbour-postgres-admin").await,
        admin,
        "the old one is not out of use yet"
    );
    let deployment = stage.api::<Deployment>().get("harbour-api").await.unwrap();
    let template = deployment
        .spec
        .unwrap()
        .template
        .metadata
        .unwrap()
        .annotations
        .unwrap();
    assert_eq!(
        Value::from(template["rates.internal/login"].clone()),
        admin["next-id"]
    );
    (app, admin)
}

#[tokio::test]
async fn the_other_login_takes_over_and_the_old_one_is_shut_when_nobody_is_left() {
    let server = server::shared();
    let stage = Stage::new(server, "rotation").await;
    stage
        .until_ready(&json!({"database": {"seed": {"bundled": {}}}}))
        .await;
    stage.api_pod("harbour-api-old").await;
    ask(&stage, "monday").await;
    let (app, admin) = until_switched(&stage).await;

    stage.deployment_rolls_out().await;
    stage.api_pod("harbour-api-new").await;
    annotate::<Pod>(
        &stage,
        "harbour-api-new",
        "rates.internal/login",
        admin["next-id"].as_str().unwrap(),
    )
    .await;
    stage.settle().await;
    assert_eq!(
        secret(&stage, "harbour-postgres-admin").await,
        admin,
        "a pod from before is left"
    );

    // Another wish waits for the first.
    ask(&stage, "tuesday").await;
    stage.settle().await;
    assert_eq!(secret(&stage, "harbour-postgres-admin").await, admin);
    ask(&stage, "monday").await;

    let now = DeleteParams::default().grace_period(0);
    stage.api::<Pod>().delete("harbour-api-old", &now).await.unwrap();
    stage.settle().await;
    let settled = secret(&stage, "harbour-postgres-admin").await;
    assert_eq!(settled["retired-username"], "rates_a");
    assert!(settled.get("next-password").is_none() && settled["rotation"] == admin["rotation"]);
    assert_eq!(secret(&stage, "harbour-postgres").await, app);
    assert_eq!(stage.field("renv/harbour", "{.status.database.rotation}"), "");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Ready");
    assert_eq!(stage.reconcile().await, [""; 0]);

    // And back.
    ask(&stage, "wednesday").await;
    let (back, _) = until_switched(&stage).await;
    assert_eq!(back["username"], "rates_a");
}

#[tokio::test]
async fn a_new_environment_with_the_annotation_has_nothing_to_rotate() {
    let server = server::shared();
    let stage = Stage::new(server, "rotation-new").await;
    let manifest = json!({
        "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
        "metadata": {"name": "harbour", "annotations": {"rates.internal/rotate-password": "at once"}}, "spec": {},
    });
    assert!(server.apply(&stage.namespace, &manifest.to_string()).ok);
    stage.settle().await;
    let admin = secret(&stage, "harbour-postgres-admin").await;
    assert!(admin.get("next-username").is_none(), "{admin}");
    assert_eq!(secret(&stage, "harbour-postgres").await["username"], "rates_a");
}
