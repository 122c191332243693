//! A Secret that is deleted, the answer to a leak: nothing that it held is kept, whatever goes on.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use crate::rotation::{annotate, ask, secret, until_switched};
use crate::server;
use crate::stage::Stage;

const DATABASE_POD: &str = "harbour-postgres-0";

async fn delete(stage: &Stage, name: &str) {
    let now = DeleteParams::default();
    stage.api::<Secret>().delete(name, &now).await.unwrap();
}

async fn ready(name: &str) -> Stage {
    let stage = Stage::new(server::shared(), name).await;
    stage
        .until_ready(&json!({"database": {"seed": {"bundled": {}}}}))
        .await;
    stage
}

/// To the end of a rotation: the other login is in use.
async fn rotate(stage: &Stage) {
    ask(stage, "monday").await;
    let (_, admin) = until_switched(stage).await;
    stage.deployment_rolls_out().await;
    stage.settle().await;
    let settled = secret(stage, "harbour-postgres-admin").await;
    assert_eq!(settled["retired-username"], "rates_a");
    assert_eq!(settled["rotation"], admin["rotation"]);
}

#[tokio::test]
async fn after_a_rotation_the_login_in_use_gets_another_password_and_the_other_stays_shut() {
    let stage = ready("revoking").await;
    rotate(&stage).await;
    let before = secret(&stage, "harbour-postgres").await;
    delete(&stage, "harbour-postgres").await;
    stage.settle().await;
    let after = secret(&stage, "harbour-postgres").await;
    assert_eq!(after["username"], "rates_b");
    assert_ne!(after["password"], before["password"]);
    let admin = secret(&stage, "harbour-postgres-admin").await;
    assert_eq!(admin["retired-username"], "rates_a");
    assert!(
        admin.get("next-username").is_none(),
        "no rotation begins: {admin}"
    );
}

#[tokio::test]
async fn a_rotation_under_way_ends_without_either_of_its_passwords() {
    let stage = ready("revoking-midway").await;
    ask(&stage, "monday").await;
    stage.settle().await;
    let (app, admin) = (
        secret(&stage, "harbour-postgres").await,
        secret(&stage, "harbour-postgres-admin").await,
    );
    assert_eq!(admin["next-username"], "rates_b");
    delete(&stage, "harbour-postgres").await;
    stage.settle().await;
    let (fresh, settled) = (
        secret(&stage, "harbour-postgres").await,
        secret(&stage, "harbour-postgres-admin").await,
    );
    assert_eq!(
        (&fresh["username"], &settled["retired-username"]),
        (&json!("rates_a"), &json!("rates_b"))
    );
    assert_ne!(fresh["password"], app["password"]);
    assert_ne!(fresh["password"], admin["next-password"]);
    assert!(settled.get("next-password").is_none());
    assert_eq!(stage.reconcile().await, [""; 0]);
}

#[tokio::test]
async fn an_admin_secret_is_made_anew_with_other_passwords_and_begins_no_rotation() {
    let stage = ready("revoking-admin").await;
    rotate(&stage).await;
    let before = secret(&stage, "harbour-postgres-admin").await;
    let app = secret(&stage, "harbour-postgres").await;
    delete(&stage, "harbour-postgres-admin").await;
    stage.settle().await;
    let after = secret(&stage, "harbour-postgres-admin").await;
    for key in ["superuser-password", "replication-password", "patroni-password"] {
        assert_ne!(after[key], before[key], "{key}");
    }
    assert_eq!(
        after["retired-username"], "rates_a",
        "the one that is in use is known"
    );
    assert!(after.get("next-username").is_none(), "{after}");
    assert_eq!(secret(&stage, "harbour-postgres").await, app);
}

#[tokio::test]
async fn a_secret_of_the_jobs_login_is_made_anew_with_another_password_that_the_role_manager_has_too() {
    let stage = ready("revoking-migrator").await;
    let before = secret(&stage, "harbour-postgres-migrator").await;
    assert_eq!(before["username"], "rates_migrator");
    delete(&stage, "harbour-postgres-migrator").await;
    stage.settle().await;
    let after = secret(&stage, "harbour-postgres-migrator").await;
    assert_ne!(after["password"], before["password"]);
    let admin = secret(&stage, "harbour-postgres-admin").await;
    assert_eq!(admin["migrator-password"], after["password"]);
}

/// The Secret that a Job's pod gets its login from.
async fn login_of_jobs(stage: &Stage) -> String {
    let job = stage.job("seed").await;
    let volumes = job.spec.unwrap().template.spec.unwrap().volumes.unwrap();
    let app = volumes.into_iter().find(|volume| volume.name == "app").unwrap();
    app.secret.unwrap().secret_name.unwrap()
}

#[tokio::test]
async fn jobs_have_their_own_login_where_the_database_has_it() {
    let server = server::shared();
    let stage = Stage::new(server, "login-of-jobs").await;
    stage.specify(&json!({}));
    stage.settle().await;
    assert_eq!(login_of_jobs(&stage).await, "harbour-postgres-migrator");

    // An image that the operator does not know may be of an earlier release.
    let stage = Stage::new(server, "login-of-jobs-before").await;
    stage.specify(&json!({"database": {"image": "pg:before"}}));
    stage.settle().await;
    assert_eq!(login_of_jobs(&stage).await, "harbour-postgres");
}

#[tokio::test]
async fn pods_from_before_are_refreshed_at_once_and_once() {
    let stage = ready("revoking-pods").await;
    let mark = async || {
        let pod = stage.api::<Pod>().get(DATABASE_POD).await.unwrap();
        pod.annotations().get("rates.internal/refreshed-for").cloned()
    };
    assert_eq!(mark().await, None, "it came after its Secrets");
    // Creations are told apart by their second.
    let made = stage.api::<Pod>().get(DATABASE_POD).await.unwrap();
    let made = made.creation_timestamp().unwrap().0;
    while Timestamp::now().as_second() <= made.as_second() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    delete(&stage, "harbour-postgres").await;
    stage.settle().await;
    let first = mark().await;
    assert!(first.is_some());
    assert_eq!(stage.reconcile().await, [""; 0]);
    delete(&stage, "harbour-postgres-admin").await;
    stage.settle().await;
    assert_ne!(mark().await, first);
    // Whatever it is told for another reason.
    annotate::<Pod>(&stage, DATABASE_POD, "rates.internal/next-login", "0").await;
    assert_eq!(stage.reconcile().await, [""; 0]);
}
