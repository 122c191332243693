//! `GET /healthz` and `GET /readyz`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::support::postgres::Postgres;
use crate::support::program::Service;
use crate::support::{SOON, eventually, tests};

tests![
    a_database_that_is_not_migrated_is_named_as_the_reason_and_a_migration_makes_it_ready,
    a_database_that_cannot_be_reached_is_named_as_the_reason,
    one_that_likes_to_wait_is_answered_when_the_database_is_there,
    one_that_likes_to_wait_is_answered_when_the_process_ends_or_the_time_is_over,
    a_schema_that_became_too_new_makes_it_unready_and_one_that_is_compatible_does_not,
];

async fn a_database_that_is_not_migrated_is_named_as_the_reason_and_a_migration_makes_it_ready(
    postgres: Arc<Postgres>,
) {
    let database = postgres.empty().await;
    let service = Service::start(&postgres.uri(&database), &[]);

    let reason = eventually("a reason", SOON, async || {
        let response = service.get("/readyz").await;
        assert_eq!(response.status, 503);
        Some(response.problem()).filter(|detail| detail.contains("schema"))
    })
    .await;
    assert!(
        reason.contains("version 0") && reason.contains("rates-api migrate"),
        "{reason}"
    );
    assert_eq!(service.get("/healthz").await.status, 200);

    postgres.migrate(&database).await;

    service.until_ready().await;
}

async fn a_database_that_cannot_be_reached_is_named_as_the_reason(_: Arc<Postgres>) {
    let service = Service::start("postgres://someone:secret@127.0.0.1:9/none", &[]);
    let reason = eventually("a reason", SOON, async || {
        let response = service.get("/readyz").await;
        assert_eq!(response.status, 503);
        Some(response.problem()).filter(|detail| detail.contains("refused"))
    })
    .await;
    assert!(
        !reason.contains("secret") && !service.log().contains("secret"),
        "{reason}"
    );
}

async fn one_that_likes_to_wait_is_answered_when_the_database_is_there(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let later = format!("{database}_later");
    let service = Service::start(&postgres.uri(&later), &[]);
    let mut probe = service.connect().await;
    probe
        .send("GET /readyz HTTP/1.1\r\nHost: test\r\nPrefer: wait=10\r\n\r\n")
        .await;
    assert_eq!(
        service.get("/readyz").await.status,
        503,
        "one that does not say so is not kept waiting"
    );
    let waits = timeout(Duration::from_millis(300), probe.receive(false)).await;
    assert!(waits.is_err(), "answered with {}", waits.unwrap().status);
    let rename = format!("ALTER DATABASE {database} RENAME TO {later}");
    postgres
        .admin("postgres")
        .await
        .batch_execute(&rename)
        .await
        .unwrap();

    assert_eq!(
        probe.receive(false).await.status,
        200,
        "by the answer to the first question"
    );
}

async fn one_that_likes_to_wait_is_answered_when_the_process_ends_or_the_time_is_over(_: Arc<Postgres>) {
    let mut service = Service::start("postgres://someone:secret@127.0.0.1:9/none", &[]);
    let mut brief = service.connect().await;
    brief
        .send("GET /readyz HTTP/1.1\r\nHost: test\r\nPrefer: wait=1\r\n\r\n")
        .await;
    assert_eq!(brief.receive(false).await.status, 503);

    let mut probe = service.connect().await;
    probe
        .send("GET /readyz HTTP/1.1\r\nHost: test\r\nPrefer: wait=10\r\n\r\n")
        .await;
    let waits = timeout(Duration::from_millis(300), probe.receive(false)).await;
    assert!(waits.is_err(), "answered with {}", waits.unwrap().status);
    service.terminate();
    assert_eq!(probe.receive(false).await.status, 503);
    assert!(
        service.time_to_end().await < Duration::from_secs(8),
        "the probe did not hold it up"
    );
}

async fn a_schema_that_became_too_new_makes_it_unready_and_one_that_is_compatible_does_not(
    postgres: Arc<Postgres>,
) {
    let database = postgres.seeded().await;
    let service = Service::ready(&postgres.uri(&database), &[]).await;
    let owner = postgres.owner(&database).await;
    let insert = |compatible_with: i32| {
        format!(
            "INSERT INTO rates_internal.migrations VALUES (1000 + {compatible_with}, 'later', 'x', {compatible_with})"
        )
    };

    owner.batch_execute(&insert(1)).await.unwrap();
    eventually("the new version is noticed", SOON, async || {
        let response = service.get("/readyz").await;
        assert_eq!(response.status, 200);
        (response.json()["schemaVersion"] == 1001).then_some(())
    })
    .await;

    owner.batch_execute(&insert(900)).await.unwrap();
    let reason = eventually("it is no longer ready", SOON, async || {
        let response = service.get("/readyz").await;
        (response.status == 503).then(|| response.problem())
    })
    .await;
    assert!(
        reason.contains("version 1900") && reason.contains("version 900"),
        "{reason}"
    );
}
