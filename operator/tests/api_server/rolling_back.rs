//! A rollout that does not work is taken back, stays so, and is tried again when the specification changes; a
//! migration that fails halts it.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::server;
use crate::stage::Stage;

fn with_image(image: &str, on_failure: &str) -> Value {
    json!({
        "database": {"seed": {"bundled": {}}},
        "api": {"image": image, "rollout": {"onFailure": on_failure}},
    })
}

fn image(stage: &Stage) -> String {
    stage.field(
        "deployment/harbour-api",
        "{.spec.template.spec.containers[0].image}",
    )
}

fn events(stage: &Stage, reason: &str) -> usize {
    let reasons = stage.printed("events", "{.items[*].reason}");
    reasons.split_whitespace().filter(|told| *told == reason).count()
}

/// Plays the Job of the newest migration.
async fn migration_ends(stage: &Stage, phase: &str, report: &Value) {
    stage.settle().await;
    stage.job_ends("migrate", "migrate", phase, report).await;
    stage.settle().await;
}

/// Plays the Deployment's controller and the kubelet: a pod as the template has it now, which crashes.
async fn crashes(stage: &Stage, name: &str) {
    let revision = stage.field(
        "deployment/harbour-api",
        r"{.spec.template.metadata.annotations.rates\.internal/revision}",
    );
    stage.pod(name, "api", &json!({}), None).await;
    let change = json!({"metadata": {"annotations": {"rates.internal/revision": revision}}});
    stage
        .api::<Pod>()
        .patch(name, &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
    let status = json!({
        "phase": "Running",
        "containerStatuses": [{
            "name": "api", "ready": false, "image": "any", "imageID": "", "restartCount": 2,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 9, "message": "error: sunk"}},
        }],
    });
    stage.set_status::<Pod>(name, &status).await;
}

#[tokio::test]
async fn an_image_that_crashes_is_taken_back_once_and_another_is_tried() {
    let server = server::shared();
    let stage = Stage::new(server, "taken-back").await;
    stage.until_ready(&with_image("api:one", "RollBack")).await;
    let migrated = json!({"outcome": "succeeded", "schemaVersion": 1, "applied": []});

    stage.specify(&with_image("api:two", "RollBack"));
    migration_ends(&stage, "Succeeded", &migrated).await;
    assert_eq!(image(&stage), "api:two");
    crashes(&stage, "second").await;
    stage.settle().await;
    assert_eq!(image(&stage), "api:one");
    assert_eq!(stage.condition("Progressing").1, "RolledBack");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Degraded");
    assert_eq!(events(&stage, "RolledBack"), 1);
    stage.deployment_rolls_out().await;
    stage.settle().await;
    assert_eq!(image(&stage), "api:one", "it is not tried again");
    assert_eq!(stage.reconcile().await, [""; 0]);

    stage.specify(&with_image("api:three", "RollBack"));
    migration_ends(&stage, "Succeeded", &migrated).await;
    assert_eq!(image(&stage), "api:three");
    assert_eq!(stage.field("renv/harbour", "{.status.api.failedRollout}"), "");
}

#[tokio::test]
async fn a_migration_that_fails_halts_the_rollout_and_says_so_steadily() {
    let server = server::shared();
    let stage = Stage::new(server, "migration-fails").await;
    stage.until_ready(&with_image("api:one", "Hold")).await;

    stage.specify(&with_image("api:two", "Hold"));
    let failed = json!({"outcome": "failed", "message": "lock timeout on prices"});
    migration_ends(&stage, "Failed", &failed).await;
    assert_eq!(image(&stage), "api:one");
    let told = || {
        let (status, reason, message) = stage.condition("Migrated");
        assert_eq!((status.as_str(), reason.as_str()), ("False", "MigrationFailed"));
        assert!(message.ends_with("after: lock timeout on prices"), "{message}");
        assert_eq!(stage.condition("Progressing").1, "MigrationFailed");
        assert_eq!(stage.condition("Ready").0, "True");
        assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Degraded");
    };
    told();
    // By now the next attempt is there, which has said nothing yet.
    stage.settle().await;
    told();
    assert_eq!(events(&stage, "MigrationFailed"), 1);

    stage.specify(&with_image("api:one", "Hold"));
    stage.settle().await;
    assert_eq!(stage.condition("Progressing").1, "Complete");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Ready");
}

#[tokio::test]
async fn what_is_legal_and_unwise_is_an_event() {
    let server = server::shared();
    let stage = Stage::new(server, "unwise").await;
    stage.specify(&json!({
        "api": {"image": "localhost:5000/api", "rollout": {"propagationSeconds": 0, "maxBatchSeconds": 7200}},
    }));
    stage.settle().await;
    for reason in ["ImageWithoutTag", "ShortPropagation", "LongBatches"] {
        assert_eq!(events(&stage, reason), 1, "{reason}");
    }
}
