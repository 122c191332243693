//! `Prefer: respond-async`: 202 with what the batch was decided to, and `Location`.

use std::sync::Arc;
use std::time::Duration;

use rates_api::batches::locked_connection::LockedConnection;
use rates_api::batches::store::{self, BatchClaim, StoreError};
use rates_api::batches::{Status, connections};
use rates_api::database::{Address, Primary};
use serde_json::{Value, json};

use super::{CSV, DESTINATION, Ingest, JSON, ORIGIN, anna, csv, empty};
use crate::support::postgres::Postgres;
use crate::support::{SOON, eventually, tests};

tests![
    a_batch_is_answered_202_and_then_applied,
    a_wrong_batch_is_rejected_with_what_is_wrong,
    malformed_content_is_refused_at_once,
    what_the_release_before_left_is_decided,
    a_process_that_lost_its_lease_cannot_finish,
    the_same_key_gets_the_same_answer,
    what_was_answered_202_is_decided_whatever_becomes_of_the_process,
];

const ASYNC: &str = "Prefer: respond-async";

async fn decided(ingest: &Ingest, location: &str) -> Value {
    eventually("the batch is decided", SOON, async || {
        let batch = ingest.batch(location).await;
        let status = batch["status"].as_str().unwrap();
        assert!(
            ["queued", "running", "applied", "rejected"].contains(&status),
            "{status}"
        );
        ["applied", "rejected"].contains(&status).then_some(batch)
    })
    .await
}

async fn a_batch_is_answered_202_and_then_applied(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let answer = ingest.post(&[CSV, ASYNC], csv([("2022-05-01", 7)])).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("preference-applied"), Some("respond-async"));
    let batch = decided(&ingest, answer.header("location").unwrap()).await;
    assert_eq!((&batch["status"], &batch["rows"]), (&json!("applied"), &json!(1)));
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(1));
}

async fn a_wrong_batch_is_rejected_with_what_is_wrong(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let answer = ingest
        .post(&[CSV, ASYNC], csv([("2022-05-01", 7), ("2022-05-01", 0)]))
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let batch = decided(&ingest, answer.header("location").unwrap()).await;
    assert_eq!(batch["status"], "rejected");
    assert_eq!(batch["errors"][0]["row"], 2);
    assert_eq!(batch["errorCounts"][0]["count"], 1);
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(null));
}

async fn malformed_content_is_refused_at_once(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    assert_eq!(ingest.post(&[JSON, ASYNC], "[").await.status, 400);
}

async fn what_the_release_before_left_is_decided(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let owner = postgres.owner(&ingest.database).await;
    let report = r#"{"errors": [], "errorCounts": []}"#;
    for (status, findings, decided_to) in [
        ("queued", None, "applied"),
        ("queued", Some(report), "rejected"),
        ("running", None, "applied"),
        ("running", Some(report), "rejected"),
    ] {
        // A process that has taken a batch to decide it renews no lease.
        let leave = "INSERT INTO rates_internal.batches
                 (status, token, asynchronous, lease_until, attempt, ports, checksum, findings)
             VALUES ($1, '', true, now() + interval '1 hour', 1, '{}', 'sha256:', $2::text::jsonb) RETURNING id";
        let id: i64 = owner
            .query_one(leave, &[&status, &findings])
            .await
            .unwrap()
            .get(0);
        let batch = decided(&ingest, &format!("/batches/{id}")).await;
        assert_eq!(batch["status"], decided_to, "{status} {findings:?}");
    }
}

async fn a_process_that_lost_its_lease_cannot_finish(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let primary = Primary::new(Address::Uri(postgres.uri(&database)));
    let connections = connections(&primary, 2, Duration::from_mins(1)).unwrap();
    let mut first = LockedConnection::new(connections.get(SOON).await.unwrap());
    let mut second = LockedConnection::new(connections.get(SOON).await.unwrap());
    let lease = Duration::from_millis(100);
    let claim = store::claim(&mut first, &anna(), Some("key"), true, lease).await;
    let Ok(BatchClaim::New(lost)) = claim else {
        panic!("{claim:?}")
    };
    // Its process says nothing any more: another one takes the key.
    let mut taken = None;
    while taken.is_none() {
        let claim = store::claim(&mut second, &anna(), Some("key"), true, SOON).await;
        match claim.unwrap() {
            BatchClaim::New(id) => taken = Some(id),
            BatchClaim::Known(batch) => assert_eq!((batch.id, batch.status), (lost, Status::Receiving)),
        }
    }
    // Now it wakes up.
    let client = first.client().unwrap();
    assert!(!store::renew(client, lost, 1, SOON).await.unwrap());
    let decided = store::decide(first.session().unwrap(), lost, &empty()).await;
    assert!(matches!(decided, Err(StoreError::Lost)), "{decided:?}");
    let decided = store::decide(second.session().unwrap(), taken.unwrap(), &empty()).await;
    assert_eq!(decided.unwrap().status, Status::Applied);
}

async fn the_same_key_gets_the_same_answer(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let key = "Idempotency-Key: later";
    let body = csv([("2022-05-01", 7)]);
    let first = ingest.post(&[CSV, ASYNC, key], &body).await;
    let again = ingest.post(&[CSV, ASYNC, key], &body).await;
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(first.header("location"), again.header("location"));
    decided(&ingest, first.header("location").unwrap()).await;
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(1));
    let other = ingest.post(&[CSV, ASYNC, key], csv([("2022-05-01", 8)])).await;
    assert_eq!(other.status, 422);
}

async fn what_was_answered_202_is_decided_whatever_becomes_of_the_process(postgres: Arc<Postgres>) {
    let mut first = Ingest::start(&postgres, &["--lease-seconds", "60"]).await;
    for day in 1..=20 {
        let body = format!("orig_code,dest_code,day,price\n{ORIGIN},{DESTINATION},2022-05-{day:02},7\n");
        let answer = first.post(&[CSV, ASYNC], body).await;
        assert_eq!(
            (answer.status, &answer.json()["status"]),
            (202, &json!("applied"))
        );
    }
    first.service.kill();
    let second = Ingest::of(&postgres, first.database.clone(), &[]).await;
    for day in 1..=20 {
        assert_eq!(
            second
                .day(ORIGIN, DESTINATION, &format!("2022-05-{day:02}"))
                .await
                .0,
            json!(1)
        );
    }
}
