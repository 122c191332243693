//! `Prefer: respond-async`: 202 once the content is stored, and then whichever process comes by decides it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{CSV, DESTINATION, Ingest, JSON, ORIGIN, csv};
use crate::support::postgres::{Postgres, number};
use crate::support::{SOON, eventually, tests};

tests![
    a_batch_is_answered_202_and_then_applied,
    a_wrong_batch_is_rejected_with_what_is_wrong,
    malformed_content_is_refused_at_once,
    a_job_outlives_the_process_that_took_it,
    a_process_that_lost_its_lease_cannot_finish,
    the_same_key_gets_the_same_answer,
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

async fn a_job_outlives_the_process_that_took_it(postgres: Arc<Postgres>) {
    let lease = ["--lease-seconds", "2"];
    let mut ingest = Ingest::start(&postgres, &lease).await;
    let owner = postgres.owner(&ingest.database).await;
    let queue = "INSERT INTO rates_internal.batches (status, token, asynchronous, lease_until, attempt, ports, checksum)
         VALUES ('running', '', true, now() + interval '2 seconds', 1, '{}', 'sha256:') RETURNING id";
    let id: i64 = owner.query_one(queue, &[]).await.unwrap().get(0);
    ingest.service.kill();

    let second = Ingest::of(&postgres, ingest.database.clone(), &lease).await;
    let batch = decided(&second, &format!("/batches/{id}")).await;
    assert_eq!(batch["status"], "applied");
    let attempt = format!("SELECT attempt::bigint FROM rates_internal.batches WHERE id = {id}");
    assert_eq!(number(&owner, &attempt).await, 2);
}

async fn a_process_that_lost_its_lease_cannot_finish(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--lease-seconds", "1"]).await;
    let answer = ingest.post(&[CSV, ASYNC], csv([("2022-05-01", 7)])).await;
    let location = answer.header("location").unwrap();
    decided(&ingest, location).await;
    // What a process would do that was frozen after its first attempt, and wakes up.
    let id: i64 = location.rsplit('/').next().unwrap().parse().unwrap();
    let owner = postgres.owner(&ingest.database).await;
    let late = format!(
        "UPDATE rates_internal.batches SET status = 'rejected' WHERE id = {id} AND status = 'running' AND attempt = 1"
    );
    assert_eq!(owner.execute(&late, &[]).await.unwrap(), 0);
    assert_eq!(ingest.batch(location).await["status"], "applied");
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
