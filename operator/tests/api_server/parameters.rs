//! The server's parameters on their way to Patroni, and the restart that some of them need.

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use serde_json::{Value, json};

use crate::server;
use crate::stage::Stage;

fn spec(parameters: &Value) -> Value {
    json!({"database": {"seed": {"bundled": {}}, "parameters": parameters}})
}

async fn config(stage: &Stage) -> Value {
    let config_map = stage
        .api::<ConfigMap>()
        .get("harbour-postgres-config")
        .await
        .unwrap();
    serde_json::from_str(&config_map.metadata.annotations.unwrap()["config"]).unwrap()
}

#[tokio::test]
async fn parameters_are_there_before_the_first_start_and_follow_the_specification() {
    let server = server::shared();
    let stage = Stage::new(server, "parameters").await;
    stage.until_ready(&spec(&json!({"work_mem": "8MB"}))).await;
    let first = config(&stage).await;
    let parameters = &first["postgresql"]["parameters"];
    assert_eq!(first["ttl"], 30, "of one instance");
    assert_eq!(parameters["work_mem"], "8MB");
    assert_eq!(parameters["shared_buffers"], "32MB", "of the profile");

    // Somebody else's settings, by Patroni's own door.
    let mut theirs = first.clone();
    theirs["pause"] = json!(true);
    theirs["postgresql"]["parameters"]["theirs.own"] = json!(1);
    stage
        .annotate::<ConfigMap>("harbour-postgres-config", &json!({"config": theirs.to_string()}))
        .await;
    stage.settle().await;
    assert_eq!(config(&stage).await, theirs);

    stage.specify(&spec(&json!({"max_connections": 60})));
    stage.settle().await;
    let now = config(&stage).await;
    let parameters = now["postgresql"]["parameters"].as_object().unwrap();
    assert_eq!(parameters["max_connections"], 60);
    assert!(!parameters.contains_key("work_mem"), "taken out again");
    assert_eq!(
        (&parameters["theirs.own"], &now["pause"]),
        (&json!(1), &json!(true))
    );

    // What is ours is put back.
    let mut broken = now.clone();
    broken["postgresql"]["parameters"]["shared_buffers"] = json!("1GB");
    stage
        .annotate::<ConfigMap>("harbour-postgres-config", &json!({"config": broken.to_string()}))
        .await;
    assert_eq!(
        stage.reconcile().await,
        ["PATCH configmaps/harbour-postgres-config"]
    );
    assert_eq!(config(&stage).await, now);
    assert_eq!(stage.reconcile().await, [""; 0]);
}

#[tokio::test]
async fn a_parameter_in_capitals_that_is_refused_is_told() {
    let server = server::shared();
    let stage = Stage::new(server, "parameters-refused").await;
    stage.specify(&spec(&json!({"Archive_Command": "true"})));
    stage.settle().await;
    let (holds, reason, message) = stage.condition("Ready");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "InvalidSpec"));
    assert!(
        message.contains("Archive_Command") && message.contains("runs commands"),
        "{message}"
    );
}

#[tokio::test]
async fn the_pod_is_restarted_once_for_what_a_running_server_cannot_take() {
    let server = server::shared();
    let stage = Stage::new(server, "pending-restart").await;
    stage.until_ready(&spec(&json!({}))).await;
    let status = |value: &str| {
        let reason = json!({"shared_buffers": {"old_value": "32MB", "new_value": value}});
        json!({"status": json!({"pending_restart": true, "pending_restart_reason": reason, "xlog_location": 1}).to_string()})
    };
    let template = || {
        stage.field(
            "statefulset/harbour-postgres",
            "{.spec.template.metadata.annotations.rates\\.internal/restarted-for}",
        )
    };
    stage.annotate::<Pod>("harbour-postgres-0", &status("64MB")).await;
    assert_eq!(
        stage.reconcile().await,
        [
            "PATCH statefulsets/harbour-postgres",
            "PATCH ratesenvironments/harbour/status"
        ]
    );
    let restarted = template();
    assert!(restarted.starts_with("shared_buffers ("), "{restarted}");
    assert_eq!(
        stage.field("renv/harbour", "{.status.message}"),
        "database: restarting for shared_buffers"
    );
    assert_eq!(
        stage.field("renv/harbour", "{.status.database.pendingRestart[0]}"),
        "shared_buffers"
    );
    assert_eq!(stage.condition("Ready").0, "True", "it serves until then");

    // The pod after it.
    stage
        .annotate::<Pod>(
            "harbour-postgres-0",
            &json!({"status": "{}", "rates.internal/restarted-for": restarted}),
        )
        .await;
    stage.settle().await;
    assert_eq!(template(), restarted, "not restarted for the removal");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Ready");

    // One that did not take it is not restarted for ever.
    stage.annotate::<Pod>("harbour-postgres-0", &status("64MB")).await;
    assert_eq!(
        stage.reconcile().await,
        ["PATCH ratesenvironments/harbour/status"]
    );
    assert!(
        stage
            .field("renv/harbour", "{.status.message}")
            .contains("did not bring shared_buffers into force")
    );
    stage
        .annotate::<Pod>("harbour-postgres-0", &status("128MB"))
        .await;
    stage.settle().await;
    assert_ne!(template(), restarted, "another value is another reason");
}
