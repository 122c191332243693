//! `Idempotency-Key`: sending a batch again is safe.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::{CSV, DESTINATION, Ingest, JSON, ORIGIN, TOKEN, count_prices, csv, gzip};
use crate::support::http::Response;
use crate::support::postgres::{Postgres, number};
use crate::support::program::Service;
use crate::support::{SOON, eventually, tests};

tests![
    the_same_key_and_content_get_the_first_answer_again,
    the_same_key_with_other_content_is_refused,
    a_rejection_is_answered_again_too,
    a_key_whose_batch_is_coming_in_is_a_conflict,
    a_key_is_free_again_after_malformed_content,
    without_a_name_a_token_is_its_own_owner,
    a_key_belongs_to_the_owner_of_the_token_and_stays_known_when_that_is_replaced,
    keys_of_the_release_before_get_an_owner,
    a_batch_whose_process_died_can_be_sent_again_once_its_lease_ran_out,
    at_the_same_time_one_is_applied,
    a_key_is_as_old_as_its_batch,
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

async fn without_a_name_a_token_is_its_own_owner(postgres: Arc<Postgres>) {
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

/// Posts a batch with the key, as whoever has the token.
async fn post_as(service: &Service, token: &str, body: &str) -> Response {
    let authorization = format!("Authorization: Bearer {token}");
    service
        .connect()
        .await
        .post("/batches", &[&authorization, CSV, KEY], body)
        .await
}

/// Makes the tokens known: names of owners, each with its tokens.
fn know(file: &NamedTempFile, owners: &[(&str, &[&str])]) {
    let mut text = String::new();
    for (name, tokens) in owners {
        writeln!(text, "# owner: {name}").unwrap();
        for token in *tokens {
            writeln!(text, "{:x}", Sha256::digest(token)).unwrap();
        }
    }
    std::fs::write(file.path(), text).unwrap();
}

async fn a_key_belongs_to_the_owner_of_the_token_and_stays_known_when_that_is_replaced(
    postgres: Arc<Postgres>,
) {
    let database = postgres.seeded().await;
    let file = NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let service = Service::ready(&postgres.uri(&database), &["--ingest-token-digests-file", path]).await;
    let body = csv([("2022-05-01", 7)]);

    know(&file, &[("anna", &["anna-1"]), ("ben", &["ben-1"])]);
    let first = post_as(&service, "anna-1", &body).await;
    assert_eq!(first.status, 201, "{first:?}");
    know(&file, &[("anna", &["anna-1", "anna-2"]), ("ben", &["ben-1"])]);
    let again = post_as(&service, "anna-2", &body).await;
    assert_eq!((again.status, again.json()), (201, first.json()));
    know(&file, &[("anna", &["anna-3"]), ("ben", &["ben-1"])]);
    assert_eq!(post_as(&service, "anna-1", &body).await.status, 401);
    assert_eq!(post_as(&service, "anna-3", &body).await.json(), first.json());
    let other = post_as(&service, "ben-1", &body).await;
    assert_eq!(other.status, 201);
    assert_ne!(other.json(), first.json());
    assert_eq!(
        count_prices(&postgres, &database).await,
        count_prices(&postgres, &postgres.seeded().await).await + 2
    );
}

async fn keys_of_the_release_before_get_an_owner(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let owner = postgres.owner(&database).await;
    // As that release writes it, whose retry with a new token counted twice.
    let insert = "INSERT INTO rates_internal.batches (token, idempotency_key, asynchronous, status, rows, checksum, finished_at)
                  VALUES ($1, '8e03978e-40d5', false, 'applied', 1, $2, now()) RETURNING id";
    let body = csv([("2022-05-01", 7)]);
    let checksum = format!("sha256:{:x}", Sha256::digest(&body));
    let mut ids = Vec::new();
    for token in ["anna-1", "anna-2"] {
        let digest = Sha256::digest(token).to_vec();
        let row = owner.query_one(insert, &[&digest, &checksum]).await.unwrap();
        ids.push(row.get::<_, i64>(0).to_string());
    }

    let file = NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    know(&file, &[("anna", &["anna-1", "anna-2", "anna-3"])]);
    let service = Service::ready(&postgres.uri(&database), &["--ingest-token-digests-file", path]).await;
    let answer = post_as(&service, "anna-3", &body).await;
    assert_eq!((answer.status, &answer.json()["id"]), (201, &json!(ids[0])));
    let named = "SELECT count(*) FROM rates_internal.batches WHERE owner = 'anna'";
    eventually("the first of the two has an owner", SOON, async || {
        (number(&owner, named).await == 1).then_some(())
    })
    .await;
    know(&file, &[("anna", &["anna-4"])]);
    let answer = post_as(&service, "anna-4", &body).await;
    assert_eq!((answer.status, &answer.json()["id"]), (201, &json!(ids[0])));
    assert_eq!(
        number(&owner, "SELECT count(*) FROM rates_internal.batches").await,
        2
    );
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

async fn a_key_is_as_old_as_its_batch(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--idempotency-hours", "2"]).await;
    let post = async |key: &str| {
        let key = format!("Idempotency-Key: {key}");
        let answer = ingest.post(&[CSV, &key], csv([("2022-05-01", 7)])).await;
        assert_eq!(answer.status, 201);
    };
    for key in ["begun-long-ago", "begun-late"] {
        post(key).await;
    }
    // Both were decided a moment ago; one began before the two hours.
    let owner = postgres.owner(&ingest.database).await;
    let begin = "UPDATE rates_internal.batches SET created_at = now() - $2 * interval '1 minute' WHERE idempotency_key = $1";
    for (key, minutes) in [("begun-long-ago", 121_f64), ("begun-late", 119.0)] {
        owner.execute(begin, &[&key, &minutes]).await.unwrap();
    }
    let keys = "SELECT coalesce(string_agg(idempotency_key, ' '), '') FROM rates_internal.batches";
    eventually("the older key is forgotten", SOON, async || {
        let keys: String = owner.query_one(keys, &[]).await.unwrap().get(0);
        (keys == "begun-late").then_some(())
    })
    .await;
    for key in ["begun-long-ago", "begun-late"] {
        post(key).await;
    }
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(3));
}
