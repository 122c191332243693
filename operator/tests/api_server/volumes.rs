//! Volumes that are not what the specification or the status says: kept from before, enlarged by a person, or
//! replaced by another one.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::server;
use crate::stage::{NAME, Stage};

const CLAIM: &str = "data-harbour-postgres-0";

fn sized(size: &str) -> Value {
    json!({"database": {"seed": {"bundled": {}}, "storage": {"size": size}}})
}

/// The claim that an environment of the name left behind.
fn kept(size: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "labels": {
            "app.kubernetes.io/name": "rates", "app.kubernetes.io/instance": NAME,
            "app.kubernetes.io/component": "postgres", "app.kubernetes.io/managed-by": "rates-operator",
        }},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}},
    })
}

/// All that the API server judges by the rules of the definition.
fn each_write_is_taken(stage: &Stage) {
    let kubectl = |arguments: &[&str]| {
        let answer = stage
            .server
            .kubectl(&[&["-n", &stage.namespace], arguments].concat(), "");
        assert!(answer.ok, "{arguments:?}: {}", answer.text);
    };
    kubectl(&["annotate", "renv/harbour", "rates.internal/rotate-password=x"]);
    kubectl(&["scale", "renv/harbour", "--replicas=2"]);
    kubectl(&[
        "patch",
        "renv/harbour",
        "--type=merge",
        "-p",
        r#"{"spec": {"networkPolicies": false}}"#,
    ]);
}

#[tokio::test]
async fn a_kept_volume_that_is_larger_than_the_specification_freezes_nothing() {
    let Some(server) = server::shared() else { return };
    let stage = Stage::new(server, "kept-larger").await;
    let made = server.apply(&stage.namespace, &kept("10Gi").to_string());
    assert!(made.ok, "{}", made.text);
    stage.until_ready(&sized("5Gi")).await;
    let size = || stage.field("renv/harbour", "{.status.database.storage.size}");
    assert_eq!(size(), "10Gi");
    each_write_is_taken(&stage);
    stage.settle().await;
    assert_eq!(stage.field("deployment/harbour-api", "{.spec.replicas}"), "2");
    assert_eq!(size(), "10Gi");
}

#[tokio::test]
async fn a_volume_that_a_person_enlarged_stays_so_and_freezes_nothing() {
    let Some(server) = server::shared() else { return };
    let stage = Stage::new(server, "enlarged").await;
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "enlarged"},
        "provisioner": "tests.example/none", "allowVolumeExpansion": true,
    });
    assert!(server.apply("default", &class.to_string()).ok);
    let mut spec = sized("1Gi");
    spec["database"]["storage"]["storageClassName"] = json!("enlarged");
    stage.until_ready(&spec).await;
    let bound = json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
    stage.set_status::<PersistentVolumeClaim>(CLAIM, &bound).await;
    let larger = json!({"spec": {"resources": {"requests": {"storage": "3Gi"}}}});
    stage
        .api::<PersistentVolumeClaim>()
        .patch(CLAIM, &PatchParams::default(), &Patch::Merge(larger))
        .await
        .unwrap();
    stage.settle().await;
    let asked = || {
        stage.field(
            "pvc/data-harbour-postgres-0",
            "{.spec.resources.requests.storage}",
        )
    };
    assert_eq!(asked(), "3Gi");
    assert_eq!(
        stage.field("renv/harbour", "{.status.database.storage.size}"),
        "3Gi"
    );
    each_write_is_taken(&stage);
    stage.settle().await;
    assert_eq!(asked(), "3Gi", "never shrunk");
    assert_eq!(stage.condition("Ready").0, "True");
}
