//! What is kept elsewhere: no answer may be given again without asking, and who asks is told whether it still holds.

use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::batches::{CSV, DESTINATION, Ingest, ORIGIN, csv};
use crate::support::http::{EXAMPLE, Response, rates};
use crate::support::postgres::{Postgres, number};
use crate::support::program::Service;
use crate::support::{SOON, eventually, tests};

tests![
    what_a_caller_has_already_is_not_sent_again,
    every_answer_has_to_be_asked_for_again,
    a_tag_holds_until_a_batch_changes_the_answer_and_in_every_process,
    what_is_wrong_stays_wrong_whatever_the_caller_has,
    what_was_kept_before_a_crash_is_not_given_for_ids_that_came_again,
];

fn tag(response: &Response) -> String {
    let tag = response.header("etag").expect("there is no ETag").to_owned();
    assert!(
        tag.starts_with('"') && tag.ends_with('"') && tag.len() > 20,
        "{tag}"
    );
    tag
}

async fn what_a_caller_has_already_is_not_sent_again(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    let mut connection = service.connect().await;
    for target in [EXAMPLE, "/ports", "/regions", "/openapi.json", "/docs"] {
        let whole = connection.get(target).await;
        let tag = tag(&whole);
        assert_eq!(connection.get(target).await.header("etag"), Some(tag.as_str()));
        for tags in [&tag, &format!("W/{tag}"), &format!("\"other\", {tag}"), "*"] {
            for method in ["GET", "HEAD"] {
                let answer = connection.request_unless(method, target, tags).await;
                assert_eq!(answer.status, 304, "{method} {target} {tags}");
                assert_eq!(answer.header("etag"), Some(tag.as_str()));
                assert_eq!(answer.header("cache-control"), Some("no-cache"));
                let length = answer.header("content-length");
                assert!(
                    length.is_none() || length == whole.header("content-length"),
                    "{length:?}"
                );
            }
        }
        for method in ["GET", "HEAD"] {
            let answer = connection.request_unless(method, target, "\"other\"").await;
            assert_eq!((answer.status, answer.header("etag")), (200, Some(tag.as_str())));
        }
    }
}

async fn every_answer_has_to_be_asked_for_again(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    let mut connection = service.connect().await;
    for target in [
        EXAMPLE,
        "/",
        "/rates",
        "/batches",
        "/batches/1",
        "/healthz",
        "/readyz",
        "/nowhere",
    ] {
        let answer = connection.get(target).await;
        assert_eq!(answer.header("cache-control"), Some("no-cache"), "{target}");
    }
}

async fn a_tag_holds_until_a_batch_changes_the_answer_and_in_every_process(postgres: Arc<Postgres>) {
    let target = rates("2022-05-01", "2022-05-01", "CNGGZ", "EETLL");
    let ingest = Ingest::start(&postgres, &[]).await;
    let other = Service::ready(&postgres.uri(&ingest.database), &["--answer-cache-bytes", "0"]).await;
    let mut connection = ingest.service.connect().await;
    let before = tag(&connection.get(&target).await);
    assert_eq!(tag(&other.get(&target).await), before);

    assert_eq!(ingest.post(&[CSV], csv([("2022-05-01", 7)])).await.status, 201);
    let changed = connection.get_unless(&target, &before).await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()["rates"][0]["count"], 1);
    let after = tag(&changed);
    assert_ne!(after, before);
    for service in [&ingest.service, &other] {
        assert_eq!(
            service.connect().await.get_unless(&target, &after).await.status,
            304
        );
        assert_eq!(
            service.connect().await.get_unless(&target, &before).await.status,
            200
        );
    }
}

async fn what_is_wrong_stays_wrong_whatever_the_caller_has(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    let mut connection = service.connect().await;
    for (target, status) in [("/rates", 400), ("/nowhere", 404)] {
        let answer = connection.get_unless(target, "*").await;
        assert_eq!((answer.status, answer.header("etag")), (status, None));
    }
}

/// A server that recovers from the end of one of its processes has started when it had before, and gives the ids again that
/// only its memory knew.
async fn what_was_kept_before_a_crash_is_not_given_for_ids_that_came_again(postgres: Arc<Postgres>) {
    let postgres = postgres.another();
    let ingest = Ingest::start(&postgres, &[]).await;
    let admin = postgres.admin(&ingest.database).await;
    for setting in ["wal_writer_delay = '10s'", "autovacuum = off"] {
        admin
            .batch_execute(&format!("ALTER SYSTEM SET {setting}"))
            .await
            .unwrap();
    }
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    drop(admin);
    let count = async || ingest.day(ORIGIN, DESTINATION, "2023-05-01").await.0;

    // Whoever else writes may take the id, or bring the lost transaction to disk: then it is tried again.
    for tries in 0..5 {
        let admin = postgres.admin(&ingest.database).await;
        admin.batch_execute("CHECKPOINT").await.unwrap();
        // Changes nothing that is read, and is lost.
        admin
            .batch_execute(
                "SET synchronous_commit = off; SELECT txid_current(), pg_logical_emit_message(true, '', '')",
            )
            .await
            .unwrap();
        let lost = number(&admin, "SELECT txid_snapshot_xmax(txid_current_snapshot())").await;
        let before = if tries == 0 { json!(null) } else { json!(tries) };
        assert_eq!(count().await, before);
        let ended = || {
            ingest
                .service
                .log()
                .matches("the database ended the connection")
                .count()
        };
        let (one, ended_before) = (number(&admin, "SELECT pg_backend_pid()::bigint").await, ended());
        kill(Pid::from_raw(i32::try_from(one).unwrap()), Signal::SIGKILL).unwrap();
        drop(admin);
        eventually("the connections end", SOON, async || {
            (ended() > ended_before).then_some(())
        })
        .await;
        // Waits for the server.
        assert_eq!(ingest.service.get("/ports").await.status, 200);
        let owner = postgres.owner(&ingest.database).await;
        let add = format!("INSERT INTO prices VALUES ('{ORIGIN}', '{DESTINATION}', '2023-05-01', 7)");
        owner.batch_execute(&add).await.unwrap();
        let again = number(&owner, "SELECT txid_snapshot_xmax(txid_current_snapshot())").await;
        assert_eq!(count().await, json!(tries + 1));
        if again == lost {
            return;
        }
    }
    panic!("no id came again in five tries");
}
