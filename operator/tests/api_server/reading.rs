//! What the operator may not read, or cannot, is told in the status.

use rates_operator::reconcile::LASTING;
use serde_json::{Value, json};

use crate::controlling::until;
use crate::server::{self, MANIFESTS, Server};
use crate::stage::Stage;

/// Takes the right to read a kind by name from the operator, or gives everything back.
fn permit(server: &Server, without: Option<&str>) {
    let answer = server.kubectl(&["get", "clusterrole", "rates-operator", "-o", "json"], "");
    let mut cluster_role: Value = serde_json::from_str(&answer.text).unwrap();
    let mut without_get = Vec::new();
    for rule in cluster_role["rules"].as_array_mut().unwrap() {
        let resources = rule["resources"].as_array_mut().unwrap();
        let before = resources.len();
        resources.retain(|resource| resource.as_str() != without);
        if resources.len() < before {
            let mut rule = rule.clone();
            rule["resources"] = json!([without]);
            rule["verbs"].as_array_mut().unwrap().retain(|verb| verb != "get");
            without_get.push(rule);
        }
    }
    let rules = cluster_role["rules"].as_array_mut().unwrap();
    rules.retain(|rule| rule["resources"] != json!([]));
    rules.extend(without_get);
    let answer = match without {
        Some(_) => server.kubectl(&["replace", "-f", "-"], &cluster_role.to_string()),
        None => server.kubectl(
            &["apply", "--server-side", "--force-conflicts", "-k", MANIFESTS],
            "",
        ),
    };
    assert!(answer.ok, "{}", answer.text);
}

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
        permit(server, Some(kind));
        until("the words of the API server are in the condition", async || {
            stage.reconcile().await;
            let (_, reason, message) = stage.condition("Seeded");
            reason == "SourceMissing" && message.contains(kind) && message.contains("forbidden")
        })
        .await;
        permit(server, None);
        until("it goes on by itself", async || {
            stage.reconcile().await;
            !stage.condition("Seeded").2.contains("forbidden")
        })
        .await;
    }
}

async fn a_secret_once_it_lasts(server: &'static Server) {
    let stage = Stage::new(server, "unreadable-secret").await;
    permit(server, Some("secrets"));
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
    permit(server, None);
    until("it goes on by itself", async || stage.reconciles_after(0).await).await;
    stage.settle().await;
    assert_eq!(stage.condition("Reconciled").0, "True");
}
