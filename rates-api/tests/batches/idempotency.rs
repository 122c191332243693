//! `Idempotency-Key`: sending a batch again is safe.

use std::sync::Arc;

use serde_json::json;

use super::{CSV, DESTINATION, Ingest, JSON, ORIGIN, TOKEN, csv, gzip};
use crate::support::postgres::{Postgres, number};
use crate::support::{SOON, eventually, tests};

tests![
    the_same_key_and_content_get_the_first_answer_again,
    the_same_key_with_other_content_is_refused,
    a_rejection_is_answered_again_too,
    a_key_whose_batch_is_coming_in_is_a_conflict,
    a_key_is_free_again_after_malformed_content,
    keys_belong_to_a_token,
    a_batch_whose_process_died_can_be_sent_again_once_its_lease_ran_out,
    at_the_same_time_one_is_applied,
];

const KEY: &str = "Idempotency-Key: \"8e03978e-40d5\"";

async fn the_same_key_and_content_get_the_first_answer_again(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let body = csv([("2022-05-01", 7)]);
    let first = ingest.post(&[CSV, KEY], &body).await;
    assert_eq!(first.status, 201);
    // Also packed, and with the key without its quotes: it is the same content and the same key.
    let again = ingest
        .post(
            &[CSV, "Idempotency-Key: 8e03978e-40d5", "Content-Encoding: gzip"],
            gzip(&body),
        )
        .await;
    assert_eq!((again.status, again.json()), (201, first.json()));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(1));
}

async fn the_same_key_with_other_content_is_refused(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    assert_eq!(
        ingest.post(&[CSV, KEY], csv([("2022-05-01", 7)])).await.status,
        201
    );
    let other = ingest.post(&[CSV, KEY], csv([("2022-05-01", 8)])).await;
    assert_eq!(other.status, 422);
    assert!(other.problem().contains("a new batch needs a new key"));
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(1));
}

async fn a_rejection_is_answered_again_too(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let body = csv([("2022-05-01", 0)]);
    let first = ingest.post(&[CSV, KEY], &body).await;
    assert_eq!(first.status, 422);
    let again = ingest.post(&[CSV, KEY], &body).await;
    assert_eq!((again.status, again.json()), (422, first.json()));
}

async fn a_key_whose_batch_is_coming_in_is_a_conflict(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let body = csv([("2022-05-01", 7)]);
    let mut slow = ingest.service.connect().await;
    let head = format!(
        "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\n{KEY}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    slow.send(head).await;
    let owner = postgres.owner(&ingest.database).await;
    eventually("the batch is claimed", SOON, async || {
        (number(&owner, "SELECT count(*) FROM rates_internal.batches").await == 1).then_some(())
    })
    .await;
    let conflict = ingest.post(&[CSV, KEY], &body).await;
    assert_eq!(conflict.status, 409);
    conflict.problem();
    assert!(conflict.header("retry-after").is_some());

    slow.send(&body).await;
    let first = slow.receive(false).await;
    assert_eq!(first.status, 201);
    assert_eq!(ingest.post(&[CSV, KEY], &body).await.json(), first.json());
}

async fn a_key_is_free_again_after_malformed_content(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    assert_eq!(ingest.post(&[JSON, KEY], "[").await.status, 400);
    assert_eq!(ingest.post(&[JSON, KEY], "[]").await.status, 201);
}

async fn keys_belong_to_a_token(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let body = csv([("2022-05-01", 7)]);
    assert_eq!(ingest.post(&[CSV, KEY], &body).await.status, 201);
    let other = ["Authorization: Bearer writer-2", CSV, KEY];
    let answer = ingest
        .service
        .connect()
        .await
        .post("/batches", &other, &body)
        .await;
    assert_eq!(answer.status, 201);
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(2));
}

async fn a_batch_whose_process_died_can_be_sent_again_once_its_lease_ran_out(postgres: Arc<Postgres>) {
    let lease = ["--lease-seconds", "2"];
    let mut ingest = Ingest::start(&postgres, &lease).await;
    let body = csv([("2022-05-01", 7)]);
    let mut cut = ingest.service.connect().await;
    let head = format!(
        "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\n{KEY}\r\nContent-Length: 1000\r\n\r\n"
    );
    cut.send(head).await;
    let owner = postgres.owner(&ingest.database).await;
    eventually("the batch is claimed", SOON, async || {
        (number(&owner, "SELECT count(*) FROM rates_internal.batches").await == 1).then_some(())
    })
    .await;
    ingest.service.kill();

    let second = Ingest::of(&postgres, ingest.database.clone(), &lease).await;
    let answer = eventually("it can be sent again", SOON, async || {
        let answer = second.post(&[CSV, KEY], &body).await;
        assert!(matches!(answer.status, 201 | 409), "{answer:?}");
        (answer.status == 201).then_some(answer)
    })
    .await;
    assert_eq!(answer.json()["rows"], 1);
    assert_eq!(second.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(1));
}

async fn at_the_same_time_one_is_applied(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--max-batches", "8"]).await;
    let body = csv([("2022-05-01", 7)]);
    let answers = futures::future::join_all((0..8).map(|_| ingest.post(&[CSV, KEY], &body))).await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 409)));
    assert!(answers.iter().any(|answer| answer.status == 201));
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(1));
}
