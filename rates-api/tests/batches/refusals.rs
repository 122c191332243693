//! Bad input: a problem document that names the place, nothing written, and the next request is served.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{CSV, DESTINATION, Ingest, JSON, ORIGIN, TOKEN, count_prices, csv, gzip};
use crate::support::postgres::{Postgres, number};
use crate::support::{SOON, eventually, tests};

tests![
    without_a_known_token_nothing_is_read,
    without_digests_nobody_may_write,
    tokens_are_not_logged,
    a_new_token_is_known_without_a_restart,
    headers_that_are_not_understood_are_refused_with_what_is,
    wrong_rows_are_all_counted_and_the_first_are_listed,
    a_batch_with_one_wrong_row_writes_nothing,
    codes_that_look_like_sql_are_codes,
    content_that_is_too_large_is_refused,
    a_client_that_goes_away_leaves_nothing,
    a_client_that_says_nothing_is_answered_408,
    a_batch_that_takes_too_long_is_given_up,
    more_batches_than_places_wait_and_are_then_told_when_to_come_back,
];

async fn without_a_known_token_nothing_is_read(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    for (authorization, challenge) in [
        (None, "Bearer realm=\"batches\""),
        (
            Some("Authorization: Basic d3JpdGVyLTE="),
            "Bearer realm=\"batches\", error=\"invalid_request\"",
        ),
        (
            Some("Authorization: Bearer writer-3"),
            "Bearer realm=\"batches\", error=\"invalid_token\"",
        ),
        (
            Some("Authorization: Bearer"),
            "Bearer realm=\"batches\", error=\"invalid_request\"",
        ),
    ] {
        let mut connection = ingest.service.connect().await;
        // The body is announced and never sent: the answer does not wait for it.
        let head = format!(
            "POST /batches HTTP/1.1\r\nHost: test\r\n{CSV}\r\n{}Content-Length: 1000000\r\n\r\n",
            authorization
                .map(|line| format!("{line}\r\n"))
                .unwrap_or_default()
        );
        connection.send(head).await;
        let answer = connection.receive(false).await;
        assert_eq!(answer.status, 401);
        answer.problem();
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
    }
    let owner = postgres.owner(&ingest.database).await;
    assert_eq!(
        number(&owner, "SELECT count(*) FROM rates_internal.batches").await,
        0
    );
}

async fn without_digests_nobody_may_write(postgres: Arc<Postgres>) {
    let service = crate::support::program::Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    let answer = service
        .connect()
        .await
        .post("/batches", &[TOKEN, CSV], csv([]))
        .await;
    assert_eq!(answer.status, 401);
}

async fn tokens_are_not_logged(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--log", "trace"]).await;
    assert_eq!(ingest.post(&[CSV], csv([])).await.status, 201);
    let wrong = ["Authorization: Bearer unmistakable", CSV];
    let answer = ingest
        .service
        .connect()
        .await
        .post("/batches", &wrong, csv([]))
        .await;
    assert_eq!(answer.status, 401);
    ingest.service.until_logged("\"status\":401").await;
    let log = ingest.service.log();
    assert!(
        !log.contains("writer-1") && !log.contains("unmistakable"),
        "{log}"
    );
}

async fn a_new_token_is_known_without_a_restart(postgres: Arc<Postgres>) {
    let digests = tempfile::NamedTempFile::new().unwrap();
    let path = digests.path().to_str().unwrap();
    let uri = postgres.uri(&postgres.seeded().await);
    let service = crate::support::program::Service::ready(&uri, &["--ingest-token-digests-file", path]).await;
    let post = async || {
        service
            .connect()
            .await
            .post("/batches", &[TOKEN, CSV], csv([]))
            .await
            .status
    };
    assert_eq!(post().await, 401);
    let digest = <sha2::Sha256 as sha2::Digest>::digest("writer-1");
    std::fs::write(path, format!("{digest:x}\n")).unwrap();
    assert_eq!(post().await, 201);
}

async fn headers_that_are_not_understood_are_refused_with_what_is(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    for (headers, status, name, value) in [
        (
            &["Content-Type: text/plain"][..],
            415,
            "accept-post",
            "application/json, application/x-ndjson, text/csv",
        ),
        (
            &[],
            415,
            "accept-post",
            "application/json, application/x-ndjson, text/csv",
        ),
        (
            &["Content-Type: application/json; charset=utf-16"],
            415,
            "accept-post",
            "application/json, application/x-ndjson, text/csv",
        ),
        (
            &[CSV, "Content-Encoding: br"],
            415,
            "accept-encoding",
            "gzip, identity",
        ),
        (
            &[CSV, "Idempotency-Key: \"a"],
            400,
            "content-type",
            "application/problem+json",
        ),
    ] {
        let answer = ingest.post(headers, "").await;
        assert_eq!(answer.status, status, "{headers:?}");
        answer.problem();
        assert_eq!(answer.header(name), Some(value));
    }
    let versioned = ingest
        .post(&["Content-Type: application/json; version=1"], "[]")
        .await;
    assert_eq!(versioned.status, 415);
    assert!(
        versioned
            .problem()
            .starts_with("Content-Type has the parameter `version=1`, which is not known"),
        "{versioned:?}"
    );
    let answer = ingest.service.connect().await.request("PUT", "/batches").await;
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("GET,HEAD,POST"))
    );
}

async fn wrong_rows_are_all_counted_and_the_first_are_listed(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let good = json!({"orig_code": ORIGIN, "dest_code": DESTINATION, "day": "2022-05-01", "price": 1});
    let mut rows = vec![good.clone()];
    rows.extend(
        (0..150).map(
            |_| json!({"orig_code": "cnggz", "dest_code": DESTINATION, "day": "2022-02-30", "price": 0}),
        ),
    );
    rows.push(json!({"orig_code": ORIGIN, "dest_code": 5, "price": "1"}));
    rows.push(json!(null));
    let answer = ingest.post(&[JSON], json!(rows).to_string()).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.problem(),
        "454 fields of the batch's 153 rows are wrong; the first 100 are listed. Nothing was written."
    );
    let problem = answer.json();
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 100);
    assert_eq!(
        errors[..3],
        [
            json!({"row": 2, "field": "orig_code", "message": "\"cnggz\" is not the code of a known port"}),
            json!({"row": 2, "field": "day", "message": "\"2022-02-30\" is not a day; expected one such as 2021-01-31"}),
            json!({"row": 2, "field": "price", "message": "\"0\" is not a price; expected a whole number from 1 to 2147483647"}),
        ]
    );
    let count = |field: &str, message: &str| {
        problem["errorCounts"]
            .as_array()
            .unwrap()
            .iter()
            .find(|kind| kind["field"] == field && kind["message"].as_str().unwrap().starts_with(message))
            .map(|kind| kind["count"].as_u64().unwrap())
    };
    assert_eq!(count("orig_code", "is not the code"), Some(150));
    assert_eq!(count("dest_code", "is not a string"), Some(1));
    assert_eq!(count("day", "is missing"), Some(1));
    assert_eq!(count("price", "is not a price"), Some(151));
    assert_eq!(count("", "is not a row"), Some(1));
}

async fn a_batch_with_one_wrong_row_writes_nothing(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let before = count_prices(&postgres, &ingest.database).await;
    // The wrong row is in the second chunk: the first is in the database by then.
    let body = format!("{}{ORIGIN},{DESTINATION},2022-05-01,0\n", super::many(700_000));
    let answer = ingest.post(&[CSV], body).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["errors"][0]["row"], 700_001);
    assert_eq!(count_prices(&postgres, &ingest.database).await, before);
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2023-02-01").await.0, json!(null));
    let owner = postgres.owner(&ingest.database).await;
    eventually("what was copied is cleared away", SOON, async || {
        (number(&owner, "SELECT count(*) FROM rates_internal.batch_prices").await == 0).then_some(())
    })
    .await;
}

async fn codes_that_look_like_sql_are_codes(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let code = "'); DROP TABLE ports; --";
    let body =
        json!([{"orig_code": code, "dest_code": DESTINATION, "day": "2022-05-01", "price": 1}]).to_string();
    let answer = ingest.post(&[JSON], &body).await;
    assert_eq!(answer.status, 422);
    let owner = postgres.owner(&ingest.database).await;
    let insert = "INSERT INTO ports SELECT $1, 'Odd', slug FROM regions LIMIT 1";
    owner.execute(insert, &[&code]).await.unwrap();
    assert_eq!(ingest.post(&[JSON], &body).await.status, 201);
    let stored = "SELECT count(*) FROM prices WHERE orig_code = $1";
    let stored: i64 = owner.query_one(stored, &[&code]).await.unwrap().get(0);
    assert_eq!(stored, 1);
}

async fn content_that_is_too_large_is_refused(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(
        &postgres,
        &["--max-batch-bytes", "2000", "--max-batch-rows", "10"],
    )
    .await;
    let large = csv([("2022-05-01", 1); 100]);
    for (headers, body) in [
        (&[CSV][..], large.clone().into_bytes()),
        (&[CSV, "Content-Encoding: gzip"], gzip(large)),
        (&[CSV], csv([("2022-05-01", 1); 11]).into_bytes()),
    ] {
        let answer = ingest.post(headers, body).await;
        assert_eq!(answer.status, 413);
        assert!(answer.problem().contains("Nothing was written."));
    }
    assert_eq!(
        ingest.post(&[CSV], csv([("2022-05-01", 1); 10])).await.status,
        201
    );
}

async fn a_client_that_goes_away_leaves_nothing(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let before = count_prices(&postgres, &ingest.database).await;
    let body = super::many(600_000);
    for part in [0, 10, 20_000_000.min(body.len() - 1)] {
        let mut connection = ingest.service.connect().await;
        let head = format!(
            "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.send(head).await;
        connection.send(&body[..part]).await;
    }
    let owner = postgres.owner(&ingest.database).await;
    eventually("nothing of them is left", SOON, async || {
        let left = "SELECT (SELECT count(*) FROM rates_internal.batches) + (SELECT count(*) FROM rates_internal.batch_prices)";
        (number(&owner, left).await == 0).then_some(())
    })
    .await;
    assert_eq!(count_prices(&postgres, &ingest.database).await, before);
}

async fn a_client_that_says_nothing_is_answered_408(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--body-timeout-seconds", "0.3"]).await;
    let mut connection = ingest.service.connect().await;
    let head = format!(
        "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\nContent-Length: 100\r\n\r\norig"
    );
    connection.send(head).await;
    let answer = connection.receive(false).await;
    assert_eq!(answer.status, 408);
    assert_eq!(answer.problem(), "No byte came for 0.3 s. Nothing was written.");
}

async fn a_batch_that_takes_too_long_is_given_up(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--max-batch-seconds", "0.5"]).await;
    let mut connection = ingest.service.connect().await;
    let key = "Idempotency-Key: slow";
    let head = format!(
        "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\n{key}\r\nContent-Length: 100\r\n\r\n"
    );
    connection.send(head).await;
    let answer = connection.receive(false).await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.problem(),
        "The batch took longer than 0.5 s. Nothing was written."
    );
    assert!(answer.header("retry-after").is_some());
    assert_eq!(ingest.post(&[CSV, key], csv([])).await.status, 201);
}

async fn more_batches_than_places_wait_and_are_then_told_when_to_come_back(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(
        &postgres,
        &["--max-batches", "1", "--request-timeout-seconds", "1"],
    )
    .await;
    let mut slow = ingest.service.connect().await;
    let head =
        format!("POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\nContent-Length: 30\r\n\r\n");
    slow.send(head).await;
    let owner = postgres.owner(&ingest.database).await;
    eventually("it has the place", SOON, async || {
        (number(&owner, "SELECT count(*) FROM rates_internal.batches").await == 1).then_some(())
    })
    .await;
    let answer = ingest.post(&[CSV], csv([])).await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());

    let waiting = ingest.post(&[CSV], csv([]));
    let freeing = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        slow.send("orig_code,dest_code,day,price\n").await;
        slow.receive(false).await
    };
    let (waiting, freeing) = tokio::join!(waiting, freeing);
    assert_eq!((waiting.status, freeing.status), (201, 201));
}
