//! The end of an environment by `lifetime.ttl`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use rates_operator::crd::RatesEnvironment;
use rates_operator::expire::{Outcome, expire};
use rates_operator::identity::Identity;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::server;
use crate::stage::{NAME, Stage};

fn spec(ttl: &str) -> Value {
    json!({"database": {"seed": {"bundled": {}}}, "lifetime": {"ttl": ttl}})
}

#[tokio::test]
async fn the_end_is_in_the_status_and_moves_with_the_ttl() {
    let stage = Stage::new(server::shared(), "ending-later").await;
    stage.specify(&spec("72h"));
    stage.settle().await;
    let created = stage.environment().await.creation_timestamp().unwrap().0;
    let expires_at = || -> Timestamp {
        stage
            .field("renv/harbour", "{.status.expiresAt}")
            .parse()
            .unwrap()
    };
    assert_eq!(expires_at(), created + Duration::from_hours(72));
    let column = stage
        .server
        .kubectl(&["-n", &stage.namespace, "get", "renv", NAME], "")
        .text;
    assert!(
        column.contains("EXPIRES") && column.contains(&expires_at().to_string()),
        "{column}"
    );
    assert_eq!(
        stage.printed("renv/harbour", "{.status.conditions[?(@.type==\"Expiring\")]}"),
        ""
    );

    stage.specify(&spec("73h"));
    stage.settle().await;
    assert_eq!(expires_at(), created + Duration::from_hours(73));
    stage.specify(&json!({"database": {"seed": {"bundled": {}}}}));
    stage.settle().await;
    assert_eq!(stage.field("renv/harbour", "{.status.expiresAt}"), "");
    assert_eq!(stage.reconcile().await, Vec::<String>::new());
}

/// The shortest life there is: it is announced after half of it.
#[tokio::test]
async fn an_environment_is_announced_and_deleted_when_its_time_is_over() {
    let server = server::shared();
    let mut stage = Stage::new(server, "expiring").await;
    let environments: Api<RatesEnvironment> = stage.api();
    stage.specify(&spec("1m"));
    let created = stage.environment().await.creation_timestamp().unwrap().0;
    let stop = CancellationToken::new();
    let running = stage.run(&stop);
    let gone = async {
        while environments.get_opt(NAME).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), gone).await.unwrap();
    let lived = Timestamp::now().duration_since(created);
    assert!(lived.as_secs() >= 60, "{lived:?}");
    stop.cancel();
    running.await.unwrap();
    let events: Api<Event> = Api::namespaced(stage.admin.clone(), &stage.namespace);
    let events = events.list(&ListParams::default()).await.unwrap().items;
    let told = |reason: &str| {
        let event = events
            .iter()
            .find(|event| event.reason.as_deref() == Some(reason));
        event.and_then(|event| event.note.clone()).unwrap_or_default()
    };
    assert!(told("Expiring").contains("a longer one keeps it"), "{events:?}");
    assert!(told("Expired").starts_with("deleted: "), "{events:?}");
}

#[tokio::test]
async fn a_change_at_the_last_moment_and_a_clock_that_is_ahead_keep_an_environment() {
    let stage = Stage::new(server::shared(), "kept-alive").await;
    let context = stage.context.as_ref().unwrap();
    let environments: Api<RatesEnvironment> = stage.api();
    stage.specify(&spec("1h"));
    let read = stage.environment().await;
    let identity = Identity::of(&read).unwrap();
    let over = async |environment, at| expire(&context.client, &identity, environment, at).await.unwrap();
    // By the clock of the API server there is an hour left, whatever ours says.
    let end = read.creation_timestamp().unwrap().0 + Duration::from_hours(1);
    assert_eq!(over(&read, end).await, Outcome::NotYet);

    let past = read.creation_timestamp().unwrap().0;
    let longer = Patch::Merge(json!({"spec": {"lifetime": {"ttl": "2h"}}}));
    environments
        .patch(NAME, &PatchParams::default(), &longer)
        .await
        .unwrap();
    assert_eq!(over(&read, past).await, Outcome::Changed);
    let changed = stage.environment().await;
    let mut another = changed.clone();
    another.metadata.uid = Some("00000000-0000-0000-0000-000000000000".to_owned());
    assert_eq!(over(&another, past).await, Outcome::Changed);
    assert_eq!(stage.environment().await.uid(), changed.uid());

    assert_eq!(over(&changed, past).await, Outcome::Deleted);
    assert!(environments.get_opt(NAME).await.unwrap().is_none());
}
