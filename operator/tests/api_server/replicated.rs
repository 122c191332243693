//! Several instances of a database: what is made for them, and what the loss of one means.

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, Patch, PatchParams};
use rates_operator::crd::RatesEnvironment;
use serde_json::{Value, json};

use crate::server;
use crate::stage::{NAME, Stage};

fn three() -> Value {
    json!({"database": {"instances": 3, "seed": {"bundled": {}}, "storage": {"size": "1Gi"}}})
}

/// Plays the kubelet and Patroni: an instance that runs as a standby.
async fn standby_runs(stage: &Stage, name: &str) {
    stage
        .pod(name, "postgres", &json!({"rates.internal/role": "replica"}), None)
        .await;
    standby_streams(stage, name).await;
}

async fn standby_streams(stage: &Stage, name: &str) {
    let status = r#"{"state":"running","role":"replica","timeline":1,"replication_state":"streaming"}"#;
    stage.annotate::<Pod>(name, &json!({"status": status})).await;
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    stage.set_status::<Pod>(name, &ready).await;
}

/// Plays Patroni: the cluster has data, and commits wait for the standbys.
async fn patroni_says(stage: &Stage, leader: &str, standbys: &str, quorum: &str) {
    let sync = json!({"leader": leader, "sync_standby": standbys, "quorum": quorum});
    stage
        .annotate::<ConfigMap>("harbour-postgres-config", &json!({"initialize": "7123"}))
        .await;
    stage
        .annotate::<ConfigMap>("harbour-postgres-leader", &json!({"leader": leader}))
        .await;
    stage.annotate::<ConfigMap>("harbour-postgres-sync", &sync).await;
}

async fn until_available(stage: &Stage) {
    stage.until_ready(&three()).await;
    assert_eq!(stage.condition("HighlyAvailable").1, "WaitingForStandby");
    for name in ["harbour-postgres-1", "harbour-postgres-2"] {
        standby_runs(stage, name).await;
    }
    patroni_says(
        stage,
        "harbour-postgres-0",
        "harbour-postgres-1,harbour-postgres-2",
        "1",
    )
    .await;
    stage.settle().await;
}

fn settings(stage: &Stage) -> Value {
    let config = stage.field("cm/harbour-postgres-config", "{.metadata.annotations.config}");
    serde_json::from_str(&config).unwrap()
}

#[tokio::test]
async fn three_instances_are_made_and_then_nothing_is_written() {
    let server = server::shared();
    let stage = Stage::new(server, "replicated").await;
    until_available(&stage).await;
    let (holds, _, message) = stage.condition("HighlyAvailable");
    assert_eq!(holds, "True", "{message}");
    let set = |path: &str| stage.field("statefulset/harbour-postgres", path);
    assert_eq!(set("{.spec.replicas}"), "3");
    assert_eq!(set("{.spec.updateStrategy.type}"), "OnDelete");
    let status = |path: &str| stage.field("renv/harbour", &format!("{{.status.database.{path}}}"));
    assert_eq!(
        (status("instances"), status("readyInstances")),
        ("3".into(), "3".into())
    );
    assert_eq!(status("synchronousStandbys"), "2");
    assert!(stage.exists::<PodDisruptionBudget>("harbour-postgres").await);
    let role = stage.field(
        "svc/harbour-postgres-ro",
        "{.spec.selector.rates\\.internal/role}",
    );
    assert_eq!(role, "replica");
    let uri = stage.field("secret/harbour-postgres", "{.data.read-uri}");
    assert!(!uri.is_empty());
    let variables = stage.printed(
        "deployment/harbour-api",
        "{.spec.template.spec.containers[0].env[*].name}",
    );
    assert!(variables.contains("RATES_DATABASE_READ_URI_FILE"), "{variables}");
    assert_eq!(settings(&stage)["synchronous_mode_strict"], true);
    let marks = stage.printed("pvc", "{.items[*].metadata.annotations.rates\\.internal/holds}");
    assert_eq!(marks, "7123 7123 7123");
    let reasons = stage.printed("events", "{.items[*].reason}");
    assert!(
        reasons.contains("HighlyAvailable") && !reasons.contains("StandbyLost"),
        "{reasons}"
    );
    assert_eq!(stage.reconcile().await, [""; 0]);
}

#[tokio::test]
async fn what_a_person_changes_in_patronis_record_is_put_back() {
    let server = server::shared();
    let stage = Stage::new(server, "replicated-record").await;
    until_available(&stage).await;
    let mut weaker = settings(&stage);
    weaker["synchronous_mode"] = json!("off");
    weaker["ttl"] = json!(600);
    weaker["theirs"] = json!(1);
    weaker["postgresql"]["parameters"]["fsync"] = json!("off");
    let edited = json!({"initialize": "1", "config": weaker.to_string()});
    stage
        .annotate::<ConfigMap>("harbour-postgres-config", &edited)
        .await;
    stage.settle().await;
    let identifier = || stage.field("cm/harbour-postgres-config", "{.metadata.annotations.initialize}");
    assert_eq!(identifier(), "7123");
    let found = settings(&stage);
    assert_eq!(
        (&found["synchronous_mode"], &found["ttl"]),
        (&json!("quorum"), &json!(20))
    );
    assert_eq!(found["theirs"], 1, "what is not the operator's stays");
    assert!(found["postgresql"]["parameters"].get("fsync").is_none());
    let told = || {
        let events = "{range .items[?(@.reason==\"PatroniSettingsRestored\")]}{.type} {.message}\n{end}";
        stage.printed("events", events)
    };
    let note = told();
    assert!(
        note.starts_with(
            "Warning somebody changed fsync, synchronous_mode, ttl, initialize in ConfigMap harbour-postgres-config"
        ),
        "{note}"
    );
    let marks = stage.printed("pvc", "{.items[*].metadata.annotations.rates\\.internal/holds}");
    assert_eq!(marks, "7123 7123 7123");

    // Also where all of it is gone.
    let now = DeleteParams::default();
    stage
        .api::<ConfigMap>()
        .delete("harbour-postgres-config", &now)
        .await
        .unwrap();
    stage.settle().await;
    assert_eq!(identifier(), "7123");
    assert_eq!(stage.reconcile().await, [""; 0]);
    assert_eq!(told(), note, "it is told once");
}

#[tokio::test]
async fn a_standby_whose_volume_is_full_is_told_while_another_can_take_over() {
    let server = server::shared();
    let stage = Stage::new(server, "full-standby").await;
    until_available(&stage).await;
    let full = json!({
        "status": r#"{"state":"starting","role":"replica","timeline":1}"#,
        "rates.internal/start-failure": "could not write lock file \"postmaster.pid\": No space left on device",
    });
    stage.annotate::<Pod>("harbour-postgres-2", &full).await;
    let unready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]});
    stage.set_status::<Pod>("harbour-postgres-2", &unready).await;
    patroni_says(&stage, "harbour-postgres-0", "harbour-postgres-1", "0").await;
    stage.settle().await;
    let (holds, reason, message) = stage.condition("HighlyAvailable");
    assert_eq!(
        (holds.as_str(), reason.as_str()),
        ("True", "StandbyFailed"),
        "{message}"
    );
    assert!(message.ends_with("No space left on device"), "{message}");
    let event = "{.items[?(@.reason==\"StandbyFailed\")].type}";
    assert_eq!(stage.printed("events", event), "Warning");
    assert_eq!(stage.condition("Ready").0, "True");
    assert_eq!(stage.reconcile().await, [""; 0]);

    let well = json!({"rates.internal/start-failure": null});
    stage.annotate::<Pod>("harbour-postgres-2", &well).await;
    standby_streams(&stage, "harbour-postgres-2").await;
    patroni_says(
        &stage,
        "harbour-postgres-0",
        "harbour-postgres-1,harbour-postgres-2",
        "1",
    )
    .await;
    stage.settle().await;
    assert_eq!(stage.condition("HighlyAvailable").1, "Replicated");
}

#[tokio::test]
async fn the_first_claim_is_lost_after_a_failover_and_nothing_is_seeded_anew() {
    let server = server::shared();
    let stage = Stage::new(server, "first-claim").await;
    until_available(&stage).await;
    let seeded = stage.field("renv/harbour", "{.status.database.seed}");
    let now = DeleteParams::default().grace_period(0);
    stage
        .api::<Pod>()
        .delete("harbour-postgres-0", &now)
        .await
        .unwrap();
    let claims = stage.api::<PersistentVolumeClaim>();
    let claim = "data-harbour-postgres-0";
    let _ = claims.delete(claim, &now).await.unwrap();
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let _ = claims.patch(claim, &PatchParams::default(), &release).await;
    patroni_says(&stage, "harbour-postgres-1", "harbour-postgres-2", "0").await;
    let promoted = json!({"metadata": {"labels": {"rates.internal/role": "primary"}}});
    stage
        .api::<Pod>()
        .patch(
            "harbour-postgres-1",
            &PatchParams::default(),
            &Patch::Merge(promoted),
        )
        .await
        .unwrap();
    stage.settle().await;
    assert!(claims.get_opt(claim).await.unwrap().is_some(), "a new one");
    assert_eq!(
        stage.field("statefulset/harbour-postgres", "{.spec.replicas}"),
        "3"
    );
    assert_eq!(
        stage.field("renv/harbour", "{.status.database.primary}"),
        "harbour-postgres-1"
    );
    assert_eq!(stage.field("renv/harbour", "{.status.database.seed}"), seeded);
    assert_eq!(stage.condition("Ready").0, "True");
    let (holds, _, message) = stage.condition("HighlyAvailable");
    assert_eq!(holds, "True", "one of two standbys is enough: {message}");
    assert_eq!(
        stage.field("cm/harbour-postgres-config", "{.metadata.annotations.initialize}"),
        "7123"
    );
    assert_eq!(stage.reconcile().await, [""; 0]);
}

#[tokio::test]
async fn two_instances_of_which_either_stops_writes_are_warned_of() {
    let server = server::shared();
    let stage = Stage::new(server, "two-required").await;
    stage.specify(&json!({"database": {"instances": 2, "durability": "Required"}}));
    stage.settle().await;
    let reasons = stage.printed("events", "{.items[*].reason}");
    assert!(reasons.contains("OneLossStopsWrites"), "{reasons}");
}

#[tokio::test]
async fn three_instances_stop_and_start_with_their_data() {
    let server = server::shared();
    let stage = Stage::new(server, "replicated-suspend").await;
    until_available(&stage).await;
    let suspend = |suspend: bool| {
        let mut spec = three();
        spec["suspend"] = json!(suspend);
        spec
    };
    stage.specify(&suspend(true));
    stage.settle().await;
    assert_eq!(
        stage.field("statefulset/harbour-postgres", "{.spec.replicas}"),
        "0"
    );
    let now = DeleteParams::default().grace_period(0);
    for ordinal in 0..3 {
        let name = format!("harbour-postgres-{ordinal}");
        stage.api::<Pod>().delete(&name, &now).await.unwrap();
    }
    stage.settle().await;
    assert_eq!(stage.condition("HighlyAvailable").1, "Suspended");
    assert_eq!(
        settings(&stage)["synchronous_mode_strict"],
        true,
        "what was promised holds"
    );
    stage.specify(&suspend(false));
    stage.settle().await;
    assert_eq!(
        stage.field("statefulset/harbour-postgres", "{.spec.replicas}"),
        "3"
    );
    assert_eq!(stage.names::<PersistentVolumeClaim>().await.len(), 3);

    let ask = async |what: &str| {
        let annotation = format!("rates.internal/{what}");
        stage
            .annotate::<RatesEnvironment>(NAME, &json!({annotation: "now"}))
            .await;
        stage.settle().await;
        stage.field("statefulset/harbour-postgres", "{.spec.replicas}")
    };
    assert_eq!(ask("sleep").await, "0");
    assert_eq!(stage.condition("HighlyAvailable").1, "Asleep");
    assert_eq!(ask("wake").await, "3");
    assert_eq!(stage.condition("Ready").1, "Waking");
    assert_eq!(stage.names::<PersistentVolumeClaim>().await.len(), 3);
}
