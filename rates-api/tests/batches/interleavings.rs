//! After any interleaving of batches, failures and retries, and at any moment in between: the sums that reads use are
//! the aggregate of the prices, no reader sees a part of a batch, and every acknowledged batch is in exactly once.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{CSV, DESTINATION, Ingest, ORIGIN, TOKEN};
use crate::sums::DIFFERENCES;
use crate::support::http::rates;
use crate::support::postgres::{Postgres, number};
use crate::support::random::Random;
use crate::support::tests;

tests![
    batches_failures_and_retries_leave_every_acknowledged_batch_in_once,
    so_do_statements_that_are_killed,
];

/// Days that every batch has a price for: a reader who sees a batch sees it on all of them.
const DAYS: u64 = 8;
const WRITERS: u64 = 4;
const BATCHES: u64 = 15;

/// A batch: the same number of prices on each day.
fn body(random: &mut Random, wrong: bool) -> String {
    let mut text = "orig_code,dest_code,day,price\n".to_owned();
    for _ in 0..=random.below(40) {
        for day in 1..=DAYS {
            let price = 1 + random.below(3000);
            writeln!(text, "{ORIGIN},{DESTINATION},2024-03-{day:02},{price}").unwrap();
        }
    }
    if wrong {
        writeln!(text, "{ORIGIN},{DESTINATION},2024-03-01,-1").unwrap();
    }
    text
}

async fn batches_failures_and_retries_leave_every_acknowledged_batch_in_once(postgres: Arc<Postgres>) {
    interleave(postgres, false).await;
}

async fn so_do_statements_that_are_killed(postgres: Arc<Postgres>) {
    interleave(postgres, true).await;
}

async fn interleave(postgres: Arc<Postgres>, kill: bool) {
    let ingest = Arc::new(Ingest::start(&postgres, &["--max-batches", "4", "--lease-seconds", "0.5"]).await);
    let done = Arc::new(AtomicBool::new(false));
    let writers = (0..WRITERS).map(|writer| tokio::spawn(write(Arc::clone(&ingest), writer)));
    let readers = [
        tokio::spawn(read(Arc::clone(&ingest), Arc::clone(&done))),
        tokio::spawn(compare(
            Arc::clone(&postgres),
            ingest.database.clone(),
            Arc::clone(&done),
        )),
    ];
    let killer = kill.then(|| {
        tokio::spawn(kill_connections(
            Arc::clone(&postgres),
            ingest.database.clone(),
            Arc::clone(&done),
        ))
    });
    let mut rows = 0;
    for writer in futures::future::join_all(writers).await {
        rows += writer.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for looks in futures::future::join_all(readers).await {
        assert!(looks.unwrap() > 0);
    }
    if let Some(killer) = killer {
        assert!(killer.await.unwrap() > 10);
    }
    let owner = postgres.owner(&ingest.database).await;
    let stored = "SELECT count(*) FROM prices WHERE day BETWEEN '2024-03-01' AND '2024-03-31'";
    assert_eq!(number(&owner, stored).await, rows);
    assert_eq!(number(&owner, DIFFERENCES).await, 0);
}

/// Sends batches: some wrong, some cut off, each of the others again and again. Gives the rows that have to be there.
async fn write(ingest: Arc<Ingest>, writer: u64) -> i64 {
    let mut random = Random(writer);
    let mut rows = 0;
    for batch in 0..BATCHES {
        let wrong = random.below(5) == 0;
        let body = body(&mut random, wrong);
        let key = format!("Idempotency-Key: {writer}-{batch}");
        for _ in 0..random.below(3) {
            // A client that goes away somewhere in the middle, at times after the end.
            let mut connection = ingest.service.connect().await;
            let part = usize::try_from(random.below(body.len() as u64 + 20)).unwrap();
            let head = format!(
                "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\n{key}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            connection.send(head).await;
            connection.send(&body[..part.min(body.len())]).await;
        }
        let mut answers = 0;
        while answers < 2 {
            let answer = ingest.post(&[CSV, &key], &body).await;
            match answer.status {
                409 | 503 => tokio::task::yield_now().await,
                status => {
                    assert_eq!(status, if wrong { 422 } else { 201 }, "{answer:?}");
                    answers += 1;
                }
            }
        }
        if !wrong {
            rows += i64::try_from(body.lines().count() - 1).unwrap();
        }
    }
    rows
}

/// Reads all days again and again: each has as many prices as the others.
async fn read(ingest: Arc<Ingest>, done: Arc<AtomicBool>) -> u64 {
    let mut connection = ingest.service.connect().await;
    let target = rates("2024-03-01", "2024-03-08", ORIGIN, DESTINATION);
    let (mut looks, mut last) = (0, 0);
    while !done.load(Ordering::Relaxed) {
        let answer = connection.get(&target).await.json();
        let counts: Vec<u64> = answer["rates"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rate| rate["count"].as_u64().unwrap_or(0))
            .collect();
        assert!(
            counts.iter().all(|count| *count == counts[0]),
            "a part of a batch is visible: {counts:?}"
        );
        assert!(
            counts[0] >= last,
            "a batch is gone again: {} after {last}",
            counts[0]
        );
        last = counts[0];
        looks += 1;
    }
    looks
}

/// Ends one of the batches' connections after the other, whatever statement it is at. Gives their number.
async fn kill_connections(postgres: Arc<Postgres>, database: String, done: Arc<AtomicBool>) -> i64 {
    let admin = postgres.admin("postgres").await;
    let kill = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM (
             SELECT pid FROM pg_stat_activity
             WHERE datname = '{database}' AND application_name = 'rates-api batches' ORDER BY random() LIMIT 1
         ) AS one"
    );
    let mut random = Random(7);
    let mut killed = 0;
    while !done.load(Ordering::Relaxed) {
        killed += number(&admin, &kill).await;
        // Between two kills a batch may come through; when is what chance decides.
        tokio::time::sleep(Duration::from_millis(random.below(60))).await;
    }
    killed
}

async fn compare(postgres: Arc<Postgres>, database: String, done: Arc<AtomicBool>) -> u64 {
    let owner = postgres.owner(&database).await;
    let mut looks = 0;
    while !done.load(Ordering::Relaxed) {
        assert_eq!(
            number(&owner, DIFFERENCES).await,
            0,
            "in a snapshot while batches run"
        );
        looks += 1;
    }
    looks
}
