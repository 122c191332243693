//! What the operator may not read, or cannot, is told in the status.

use rates_operator::reconcile::LASTING;
use serde_json::json;

use crate::controlling::until;
use crate::server::{self, MANIFESTS, Server};
use crate::stage::Stage;

#[tokio::test]
async fn what_may_not_be_read_is_told_in_the_api_servers_words() {
    let server = server::with(&["-k", MANIFESTS]);
    a_dump(server).await;
    a_secret_once_it_lasts(server).await;
}

async fn a_dump(server: &'static Server) {
    for (kind, seed) in [
        (
            "configmaps",
            json!({"configMap": {"name": "manifest", "key": "rates.sql"}}),
        ),
        (
            "persistentvolumeclaims",
            json!({"persistentVolumeClaim": {"claimName": "hold", "path": "rates.sql"}}),
        ),
    ] {
        let stage = Stage::new(server, &format!("unreadable-{kind}")).await;
        stage.specify(&json!({"database": {"seed": seed}}));
        stage.settle().await;
        server.forbid(kind, &["get"]);
        until("the words of the API server are in the condition", async || {
            stage.reconcile().await;
            let (_, reason, message) = stage.condition("Seeded");
            reason == "SourceMissing" && message.contains(kind) && message.contains("forbidden")
        })
        .await;
        server.permit_all();
        until("it goes on by itself", async || {
            stage.reconcile().await;
            !stage.condition("Seeded").2.contains("forbidden")
        })
        .await;
    }
}

async fn a_secret_once_it_lasts(server: &'static Server) {
    let stage = Stage::new(server, "unreadable-secret").await;
    server.forbid("secrets", &["get"]);
    stage.specify(&json!({}));
    until("it fails", async || !stage.reconciles_after(0).await).await;
    assert_eq!(stage.condition("Reconciled").1, "", "it may pass");
    assert!(!stage.reconciles_after(LASTING).await);
    let (status, reason, message) = stage.condition("Reconciled");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NotPermitted"));
    assert!(
        message.contains("Secret harbour") && message.contains("forbidden"),
        "{message}"
    );
    server.permit_all();
    until("it goes on by itself", async || stage.reconciles_after(0).await).await;
    stage.settle().await;
    assert_eq!(stage.condition("Reconciled").0, "True");
}
