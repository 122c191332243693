//! An upgrade of the operator replaces the pods of few environments at once.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::api::{Patch, PatchParams};
use rates_operator::apply::Pacing;
use serde_json::json;

use crate::server;
use crate::stage::Stage;

/// As if an earlier release had made the pods otherwise.
async fn made_by_another_release(stage: &Stage) {
    let change = Patch::Merge(json!({
        "metadata": {"annotations": {"rates.internal/template": "0.0.0/otherwise"}},
        "spec": {"template": {"metadata": {"annotations": {"rates.internal/earlier": "yes"}}}},
    }));
    let parameters = PatchParams::default();
    let stateful_sets = stage.api::<StatefulSet>();
    stateful_sets
        .patch("harbour-postgres", &parameters, &change)
        .await
        .unwrap();
    let deployments = stage.api::<Deployment>();
    deployments
        .patch("harbour-api", &parameters, &change)
        .await
        .unwrap();
}

/// Plays the StatefulSet's controller.
async fn database_is_replaced(stage: &Stage) {
    let stateful_set = stage.api::<StatefulSet>().get("harbour-postgres").await.unwrap();
    let status = json!({
        "observedGeneration": stateful_set.metadata.generation,
        "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
    });
    stage.set_status::<StatefulSet>("harbour-postgres", &status).await;
}

#[tokio::test]
async fn the_database_is_replaced_first_and_then_the_api_where_one_may_be_at_once() {
    let server = server::shared();
    let mut stage = Stage::new(server, "paced").await;
    stage
        .until_ready(&json!({"database": {"seed": {"bundled": {}}}}))
        .await;
    database_is_replaced(&stage).await;
    made_by_another_release(&stage).await;
    stage.context.as_mut().unwrap().pacing = Pacing::new("0.0.1", 1);

    let mark = |object: &str| stage.field(object, r"{.metadata.annotations.rates\.internal/template}");
    assert!(
        stage
            .reconcile()
            .await
            .contains(&"PATCH statefulsets/harbour-postgres".to_owned())
    );
    assert!(mark("statefulset/harbour-postgres").starts_with("0.0.1/"));
    assert_eq!(mark("deployment/harbour-api"), "0.0.0/otherwise");
    assert_eq!(stage.reconcile().await, [""; 0], "it waits, and writes nothing");

    database_is_replaced(&stage).await;
    stage.settle().await;
    assert!(mark("deployment/harbour-api").starts_with("0.0.1/"));
    stage.deployment_rolls_out().await;
    stage.settle().await;
    assert_eq!(stage.condition("Progressing").1, "Complete");
}

#[tokio::test]
async fn who_waits_says_so_and_what_a_person_changes_does_not_wait() {
    let server = server::shared();
    let mut stage = Stage::new(server, "waiting").await;
    stage
        .until_ready(&json!({"database": {"seed": {"bundled": {}}}}))
        .await;
    database_is_replaced(&stage).await;
    let spec = |replicas: i32| json!({"database": {"seed": {"bundled": {}}}, "api": {"env": [{"name": "A", "value": "b"}], "replicas": replicas}});
    stage.context.as_mut().unwrap().pacing = Pacing::new("0.0.0", 0);
    stage.specify(&spec(1));
    assert!(
        stage
            .reconcile()
            .await
            .contains(&"PATCH deployments/harbour-api".to_owned()),
        "the pods are of this release"
    );
    stage.deployment_rolls_out().await;
    stage.settle().await;

    made_by_another_release(&stage).await;
    stage.context.as_mut().unwrap().pacing = Pacing::new("0.0.1", 0);
    stage.deployment_rolls_out().await;
    stage.settle().await;
    let (holds, reason, message) = stage.condition("Progressing");
    assert_eq!((holds.as_str(), reason.as_str()), ("True", "WaitingForTurn"));
    assert!(
        message.contains("at most 0 databases and APIs at once"),
        "{message}"
    );
    assert_eq!(stage.field("renv/harbour", "{.status.message}"), message);
    assert_eq!(stage.condition("Ready").0, "True");
}
