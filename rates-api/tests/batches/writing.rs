//! A batch that is right: in every format, counted by reads at once, readable in SQL.

use std::sync::Arc;

use serde_json::json;

use super::{CSV, DESTINATION, Ingest, JSON, NDJSON, ORIGIN, TOKEN, count_prices, csv, gzip, many};
use crate::sums::DIFFERENCES;
use crate::support::postgres::{Open, Postgres, number};
use crate::support::{SOON, eventually, tests};

tests![
    every_format_is_taken_in_and_read_at_once,
    a_batch_is_answered_with_what_it_came_to,
    equal_rows_count_each,
    a_batch_without_rows_is_applied,
    batches_are_listed_the_newest_first,
    prices_are_readable_in_sql_before_and_after_they_are_folded,
    reads_and_prices_agree_whatever_sql_did,
    prices_of_applied_batches_stay_as_they_are,
    a_large_batch_is_exact,
    a_port_of_a_batch_cannot_be_deleted,
    a_body_in_chunks_is_taken_in,
    a_pair_of_ports_without_codes_is_folded_too,
];

async fn every_format_is_taken_in_and_read_at_once(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let row = |price: u32| json!({"orig_code": ORIGIN, "dest_code": DESTINATION, "day": "2022-05-01", "price": price});
    let array = json!([row(10)]).to_string();
    let object = json!({"prices": [row(20)]}).to_string();
    let lines = format!("{}\n{}", row(30), row(40));
    let table = csv([("2022-05-01", 50)]);
    for (number, (format, body)) in [(JSON, array), (JSON, object), (NDJSON, lines), (CSV, table)]
        .into_iter()
        .enumerate()
    {
        let answer = if number % 2 == 0 {
            ingest.post(&[format], body).await
        } else {
            ingest.post(&[format, "Content-Encoding: gzip"], gzip(body)).await
        };
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert_eq!(
        ingest.day(ORIGIN, DESTINATION, "2022-05-01").await,
        (json!(5), json!(30.0))
    );
}

async fn a_batch_is_answered_with_what_it_came_to(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let answer = ingest
        .post(&[CSV], csv([("2022-05-01", 7), ("2022-5-2", 8)]))
        .await;
    assert_eq!(answer.status, 201);
    let location = answer.header("location").unwrap();
    let batch = answer.json();
    assert_eq!(location, format!("/batches/{}", batch["id"].as_str().unwrap()));
    assert_eq!((&batch["status"], &batch["rows"]), (&json!("applied"), &json!(2)));
    assert!(batch["checksum"].as_str().unwrap().starts_with("sha256:"));
    assert!(batch["appliedAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(ingest.batch(location).await, batch);
}

async fn equal_rows_count_each(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let body = csv([("2022-05-01", 10), ("2022-05-01", 10), ("2022-05-01", 40)]);
    for _ in 0..2 {
        assert_eq!(ingest.post(&[CSV], &body).await.status, 201);
    }
    assert_eq!(
        ingest.day(ORIGIN, DESTINATION, "2022-05-01").await,
        (json!(6), json!(20.0))
    );
}

async fn a_batch_without_rows_is_applied(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let before = count_prices(&postgres, &ingest.database).await;
    for (format, body) in [
        (JSON, "[]"),
        (NDJSON, "\n"),
        (CSV, "price,day,dest_code,orig_code\n"),
    ] {
        let answer = ingest.post(&[format], body).await;
        assert_eq!((answer.status, answer.json()["rows"].as_u64()), (201, Some(0)));
    }
    assert_eq!(count_prices(&postgres, &ingest.database).await, before);
}

async fn batches_are_listed_the_newest_first(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(ingest.post(&[JSON], "[]").await.json()["id"].clone());
    }
    ids.reverse();
    let mut listed = Vec::new();
    let mut target = Some("/batches?limit=2".to_owned());
    while let Some(page) = target {
        let page = ingest.batch(&page).await;
        let batches = page["batches"].as_array().unwrap();
        assert!(batches.len() <= 2);
        listed.extend(batches.iter().map(|batch| batch["id"].clone()));
        target = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(listed, ids);
    for target in [
        "/batches?limit=0",
        "/batches?limit=x",
        "/batches?before=-1",
        "/batches?limit=501",
    ] {
        assert_eq!(
            ingest.service.get(target).await.problem(),
            "Invalid page arguments",
            "{target}"
        );
    }
    for target in ["/batches/999999", "/batches/x", "/batches/-1", "/batches/1e3"] {
        assert_eq!(ingest.service.get(target).await.status, 404, "{target}");
    }
}

async fn prices_are_readable_in_sql_before_and_after_they_are_folded(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let before = count_prices(&postgres, &ingest.database).await;
    let body = csv([
        ("2022-05-03", 5),
        ("2022-05-01", 7),
        ("2022-05-03", 6),
        ("2022-05-01", 7),
    ]);
    assert_eq!(ingest.post(&[CSV], body).await.status, 201);
    let owner = postgres.owner(&ingest.database).await;
    let list = "SELECT string_agg(concat_ws(' ', orig_code, dest_code, day, price), ', ' ORDER BY day, price)
                FROM prices WHERE day >= '2022-05-01'";
    let folded = "SELECT count(*) FROM rates_internal.batches WHERE folded_at IS NULL";
    let read = async || {
        let text: String = owner.query_one(list, &[]).await.unwrap().get(0);
        let pair = format!("{ORIGIN} {DESTINATION}");
        assert_eq!(
            text,
            format!("{pair} 2022-05-01 7, {pair} 2022-05-01 7, {pair} 2022-05-03 5, {pair} 2022-05-03 6")
        );
        assert_eq!(number(&owner, DIFFERENCES).await, 0);
    };
    read().await;
    eventually("the batch is folded", SOON, async || {
        (number(&owner, folded).await == 0).then_some(())
    })
    .await;
    read().await;
    assert_eq!(count_prices(&postgres, &ingest.database).await, before + 4);
    assert_eq!(ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0, json!(2));
}

/// A service with one folded batch: three prices of one day.
async fn folded(postgres: &Postgres) -> (Ingest, Open) {
    let ingest = Ingest::start(postgres, &[]).await;
    let body = csv([("2022-05-01", 5), ("2022-05-01", 6), ("2022-05-01", 7)]);
    assert_eq!(ingest.post(&[CSV], body).await.status, 201);
    let owner = postgres.owner(&ingest.database).await;
    eventually("the batch is folded", SOON, async || {
        let left = "SELECT count(*) FROM rates_internal.batches WHERE folded_at IS NULL";
        (number(&owner, left).await == 0).then_some(())
    })
    .await;
    (ingest, owner)
}

async fn reads_and_prices_agree_whatever_sql_did(postgres: Arc<Postgres>) {
    let (ingest, owner) = folded(&postgres).await;
    let day = "('CNGGZ', 'EETLL', '2022-05-01', 9)";
    let of_day = "WHERE day = '2022-05-01'";
    let statements = [
        (format!("INSERT INTO prices VALUES {day}, {day}"), 5),
        (
            format!("INSERT INTO rates_internal.seed_prices VALUES {day}, {day}"),
            7,
        ),
        (
            format!("UPDATE rates_internal.seed_prices SET price = 8 {of_day}"),
            7,
        ),
        (
            format!(
                "DELETE FROM rates_internal.seed_prices WHERE ctid = (SELECT max(ctid) FROM rates_internal.seed_prices {of_day})"
            ),
            6,
        ),
        ("TRUNCATE rates_internal.seed_prices".to_owned(), 3),
        (format!("INSERT INTO prices VALUES {day}"), 4),
        (
            "BEGIN; TRUNCATE rates_internal.seed_prices; ROLLBACK".to_owned(),
            4,
        ),
        ("TRUNCATE public.ports CASCADE".to_owned(), 3),
    ];
    for (statement, count) in statements {
        owner.batch_execute(&statement).await.unwrap();
        assert_eq!(number(&owner, DIFFERENCES).await, 0, "{statement}");
        let in_sql = format!("SELECT count(*) FROM prices {of_day}");
        assert_eq!(number(&owner, &in_sql).await, count, "{statement}");
        assert_eq!(
            ingest.day(ORIGIN, DESTINATION, "2022-05-01").await.0,
            json!(count),
            "{statement}"
        );
    }
    // It would also remove what such a transaction does not see.
    let late = "BEGIN ISOLATION LEVEL REPEATABLE READ; TRUNCATE rates_internal.seed_prices";
    let refused = owner.batch_execute(late).await.unwrap_err();
    assert!(
        refused
            .as_db_error()
            .unwrap()
            .message()
            .contains("read committed"),
        "{refused:?}"
    );
}

async fn prices_of_applied_batches_stay_as_they_are(postgres: Arc<Postgres>) {
    let (_ingest, owner) = folded(&postgres).await;
    for statement in [
        "UPDATE prices SET price = 1 WHERE day = '2022-05-01'",
        "DELETE FROM prices WHERE day = '2022-05-01'",
        "TRUNCATE rates_internal.batches",
        "TRUNCATE rates_internal.batch_prices",
        "DELETE FROM rates_internal.batches",
        "DELETE FROM rates_internal.batch_prices",
        "UPDATE rates_internal.batches SET status = 'rejected'",
        "UPDATE rates_internal.batch_prices SET prices = prices",
    ] {
        assert!(owner.batch_execute(statement).await.is_err(), "{statement}");
        assert_eq!(number(&owner, DIFFERENCES).await, 0, "{statement}");
    }
}

async fn a_large_batch_is_exact(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let before = count_prices(&postgres, &ingest.database).await;
    // More than one chunk, and groups that do not fit one row.
    let rows = 700_000;
    let answer = ingest
        .post(&[CSV, "Content-Encoding: gzip"], gzip(many(rows)))
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let count = count_prices(&postgres, &ingest.database).await;
    assert_eq!(count - before, i64::try_from(rows).unwrap());
    let owner = postgres.owner(&ingest.database).await;
    assert_eq!(number(&owner, DIFFERENCES).await, 0);
    let total = "SELECT sum(price) FROM prices WHERE day >= '2023-02-01'";
    let expected: i64 = (0..rows).map(|row| i64::try_from(1 + row % 4000).unwrap()).sum();
    assert_eq!(number(&owner, total).await, expected);
}

async fn a_port_of_a_batch_cannot_be_deleted(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let owner = postgres.owner(&ingest.database).await;
    owner
        .batch_execute("INSERT INTO ports SELECT 'ZZNEW', 'New', slug FROM regions LIMIT 1")
        .await
        .unwrap();
    let body = "orig_code,dest_code,day,price\nZZNEW,CNGGZ,2022-05-01,1\n";
    assert_eq!(ingest.post(&[CSV], body).await.status, 201);
    let deleted = owner
        .batch_execute("DELETE FROM ports WHERE code = 'ZZNEW'")
        .await;
    assert!(deleted.is_err());
}

async fn a_body_in_chunks_is_taken_in(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let mut connection = ingest.service.connect().await;
    let head = format!(
        "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    connection.send(head).await;
    for piece in csv([("2022-05-01", 7), ("2022-05-01", 8), ("2022-05-01", 9)])
        .as_bytes()
        .chunks(11)
    {
        connection.send(format!("{:x}\r\n", piece.len())).await;
        connection.send(piece).await;
        connection.send("\r\n").await;
    }
    connection.send("0\r\n\r\n").await;
    assert_eq!(connection.receive(false).await.status, 201);
    assert_eq!(
        ingest.day(ORIGIN, DESTINATION, "2022-05-01").await,
        (json!(3), json!(8.0))
    );
}

async fn a_pair_of_ports_without_codes_is_folded_too(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let owner = postgres.owner(&ingest.database).await;
    let insert = "INSERT INTO ports SELECT '', 'Nowhere', slug FROM regions LIMIT 1";
    owner.execute(insert, &[]).await.unwrap();
    let body = json!([{"orig_code": "", "dest_code": "", "day": "2022-05-01", "price": 7}]).to_string();
    assert_eq!(ingest.post(&[JSON], body).await.status, 201);
    let folded = "SELECT count(*) FROM rates_internal.batches WHERE folded_at IS NOT NULL";
    eventually("it is folded", SOON, async || {
        (number(&owner, folded).await == 1).then_some(())
    })
    .await;
    let total = "SELECT coalesce(sum(total), 0)::bigint FROM rates_internal.sums WHERE orig_code = '' AND dest_code = ''";
    assert_eq!(number(&owner, total).await, 7);
}
