//! Stopping an environment with its data kept, and starting it again.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::server;
use crate::stage::Stage;

fn spec(suspend: bool) -> Value {
    json!({
        "suspend": suspend,
        "database": {"seed": {"bundled": {}}},
        "api": {"autoscaling": {"minReplicas": 2, "maxReplicas": 6}},
    })
}

async fn ends(stage: &Stage, pod: &str) {
    let now = DeleteParams::default().grace_period(0);
    stage.api::<Pod>().delete(pod, &now).await.unwrap();
}

#[tokio::test]
async fn the_api_stops_before_the_database_and_starts_after_it() {
    let server = server::shared();
    let stage = Stage::new(server, "suspending").await;
    let api = || stage.field("deployment/harbour-api", "{.spec.replicas}");
    let database = || stage.field("statefulset/harbour-postgres", "{.spec.replicas}");
    let phase = || stage.field("renv/harbour", "{.status.phase}");
    stage.until_ready(&spec(false)).await;
    stage.api_pod("harbour-api-1").await;
    let seeded = stage.field("renv/harbour", "{.status.database.seed}");

    stage.specify(&spec(true));
    stage.settle().await;
    assert_eq!((api().as_str(), database().as_str()), ("0", "1"));
    assert!(!stage.exists::<HorizontalPodAutoscaler>("harbour-api").await);
    assert_eq!(phase(), "Progressing");
    assert_eq!(stage.condition("Ready").1, "Suspending");

    ends(&stage, "harbour-api-1").await;
    stage.settle().await;
    assert_eq!(database(), "0", "nobody uses it any more");
    assert_eq!(phase(), "Progressing");

    ends(&stage, "harbour-postgres-0").await;
    stage.settle().await;
    assert_eq!(phase(), "Suspended");
    for condition in ["Ready", "DatabaseReady", "ApiAvailable", "Progressing"] {
        let (holds, reason, _) = stage.condition(condition);
        assert_eq!(
            (holds.as_str(), reason.as_str()),
            ("False", "Suspended"),
            "{condition}"
        );
    }
    assert_eq!(stage.condition("Seeded").0, "True");
    assert!(
        stage
            .exists::<PersistentVolumeClaim>("data-harbour-postgres-0")
            .await
    );

    stage.specify(&spec(false));
    stage.settle().await;
    assert_eq!(
        (api().as_str(), database().as_str()),
        ("0", "1"),
        "the database first"
    );
    assert!(!stage.exists::<HorizontalPodAutoscaler>("harbour-api").await);
    assert_eq!(stage.condition("Ready").1, "Resuming");
    assert_eq!(phase(), "Progressing");

    stage.database_runs().await;
    stage.settle().await;
    assert_eq!(api(), "2", "as few as it may have");
    assert!(stage.exists::<HorizontalPodAutoscaler>("harbour-api").await);
    stage.deployment_rolls_out().await;
    stage.settle().await;
    assert_eq!(phase(), "Ready");
    assert_eq!(stage.field("renv/harbour", "{.status.database.seed}"), seeded);
}

#[tokio::test]
async fn a_suspended_environment_starts_no_job_and_ends_those_that_run() {
    let server = server::shared();
    let stage = Stage::new(server, "suspended-job").await;
    stage.specify(&json!({"suspend": true, "database": {"seed": {"bundled": {}}}}));
    stage.settle().await;
    assert!(stage.names::<Job>().await.is_empty());
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Suspended");
    assert_eq!(
        stage.field("statefulset/harbour-postgres", "{.spec.replicas}"),
        "0"
    );

    stage.specify(&json!({"database": {"seed": {"bundled": {}}}}));
    stage.settle().await;
    let job = stage.job("seed").await.name_any();
    stage.specify(&json!({"suspend": true, "database": {"seed": {"bundled": {}}}}));
    stage.settle().await;
    assert!(!stage.names::<Job>().await.contains(&job));
}
