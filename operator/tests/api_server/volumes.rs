//! Volumes that are not what the specification or the status says: kept from before, enlarged by a person, or
//! replaced by another one.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, Patch, PatchParams};
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
    let server = server::shared();
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
    let server = server::shared();
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

/// Plays the kubelet and the controller that protects claims: the volume's claim goes, and its pod with it.
pub async fn claim_and_pod_go(stage: &Stage) {
    let now = DeleteParams::default().grace_period(0);
    let pod = format!("{}-postgres-0", stage.name);
    let claim = format!("data-{pod}");
    stage.api::<Pod>().delete(&pod, &now).await.unwrap();
    let claims = stage.api::<PersistentVolumeClaim>();
    let _ = claims.delete(&claim, &now).await.unwrap();
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let _ = claims.patch(&claim, &PatchParams::default(), &release).await;
    assert!(claims.get_opt(&claim).await.unwrap().is_none());
}

/// Plays the controller of the `StatefulSet`: it has so many pods.
pub async fn stateful_set_has(stage: &Stage, replicas: i32) {
    let name = format!("{}-postgres", stage.name);
    let set = stage.api::<StatefulSet>().get(&name).await.unwrap();
    let status = json!({"observedGeneration": set.metadata.generation, "replicas": replicas});
    stage.set_status::<StatefulSet>(&name, &status).await;
}

/// Plays Patroni: what it keeps of a cluster.
async fn patroni_knows_of_a_cluster(stage: &Stage) {
    let known = json!({"metadata": {"annotations": {"initialize": "7123", "history": "[]", "leader": "harbour-postgres-0"}}});
    for name in ["harbour-postgres-config", "harbour-postgres-leader"] {
        stage
            .api::<ConfigMap>()
            .patch(name, &PatchParams::default(), &Patch::Merge(&known))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_lost_volume_is_a_new_database_with_nothing_of_the_old_and_said_so() {
    let server = server::shared();
    let stage = Stage::new(server, "lost-volume").await;
    stage.until_ready(&sized("1Gi")).await;
    stateful_set_has(&stage, 1).await;
    patroni_knows_of_a_cluster(&stage).await;
    let uid = || stage.field("pvc/data-harbour-postgres-0", "{.metadata.uid}");
    let known = || stage.field("renv/harbour", "{.status.database.storage.claimUid}");
    let replicas = || stage.field("statefulset/harbour-postgres", "{.spec.replicas}");
    let initialized = || stage.field("cm/harbour-postgres-config", "{.metadata.annotations.initialize}");
    let lost = uid();
    assert_eq!(known(), lost);

    claim_and_pod_go(&stage).await;
    stage.settle().await;
    assert_ne!(uid(), lost);
    assert_eq!(
        known(),
        lost,
        "it is taken up only when nothing is left of the old one"
    );
    assert_eq!(replicas(), "0");
    assert_eq!(initialized(), "7123", "not while a pod may run");
    let (holds, reason, message) = stage.condition("DatabaseReady");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "VolumeReplaced"));
    assert!(
        message.contains("a new database is made, and seeded anew"),
        "{message}"
    );
    let reasons = stage.printed("events", "{.items[*].reason}");
    let told = reasons
        .split_whitespace()
        .filter(|told| *told == "VolumeReplaced");
    assert_eq!(told.count(), 1);

    stateful_set_has(&stage, 0).await;
    stage.settle().await;
    for name in ["config", "leader"] {
        let annotations = stage.field(&format!("cm/harbour-postgres-{name}"), "{.metadata.annotations}");
        assert!(
            !annotations.contains("initialize") && !annotations.contains("history"),
            "{annotations}"
        );
    }
    assert!(
        !stage
            .field("cm/harbour-postgres-config", "{.metadata.annotations.config}")
            .is_empty()
    );
    assert_eq!(known(), uid());
    assert_eq!(replicas(), "1");

    stateful_set_has(&stage, 1).await;
    stage.until_the_api_is_due().await;
    stage.settle().await;
    assert_eq!(stage.condition("Ready").0, "True");
    let (_, _, message) = stage.condition("Seeded");
    assert!(message.contains("took the place of a lost one"), "{message}");
    assert_eq!(stage.reconcile().await, [""; 0]);
}

#[tokio::test]
async fn a_claim_that_is_only_away_or_leaving_forgets_nothing() {
    let server = server::shared();
    let stage = Stage::new(server, "claim-leaving").await;
    stage.until_ready(&sized("1Gi")).await;
    stateful_set_has(&stage, 1).await;
    patroni_knows_of_a_cluster(&stage).await;
    let claims = stage.api::<PersistentVolumeClaim>();
    let hold = Patch::Merge(json!({"metadata": {"finalizers": ["tests.example/hold"]}}));
    claims.patch(CLAIM, &PatchParams::default(), &hold).await.unwrap();
    let _ = claims.delete(CLAIM, &DeleteParams::default()).await.unwrap();
    stage.settle().await;
    assert_eq!(stage.condition("Ready").0, "True", "its pod serves");
    assert_eq!(stage.condition("Reconciled").1, "WaitingForDeletion");
    assert_eq!(
        stage.field("statefulset/harbour-postgres", "{.spec.replicas}"),
        "1"
    );
    assert_eq!(
        stage.field("cm/harbour-postgres-config", "{.metadata.annotations.initialize}"),
        "7123"
    );
}
