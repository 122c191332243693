//! Kill -9 of the process and of the database in the middle of batches: nothing half-applied, every acknowledged batch
//! there, every retry answered.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{CSV, Ingest, TOKEN, count_prices, many};
use crate::sums::DIFFERENCES;
use crate::support::http::{Connection, Response};
use crate::support::postgres::{Postgres, number};
use crate::support::program::Service;
use crate::support::random::Random;
use crate::support::{SOON, eventually, tests};

tests![
    a_process_killed_in_the_middle_of_batches,
    a_database_killed_in_the_middle_of_batches,
    a_batch_whose_end_is_not_known_says_so_and_can_be_sent_again,
    a_batch_whose_database_is_lost_is_told_before_all_of_it_was_sent,
];

/// How often each is killed. `RATES_TEST_KILLS` sets it; the number is 50.
fn kills() -> u64 {
    std::env::var("RATES_TEST_KILLS").map_or(5, |text| text.parse().unwrap())
}

/// Rows of a batch: enough for two chunks, so that there is a middle.
const ROWS: usize = 530_000;

/// Rows that are readable in SQL, less those of the seed.
const BATCH_ROWS: &str =
    "SELECT (SELECT count(*) FROM prices) - (SELECT count(*) FROM rates_internal.seed_prices)";

/// What is sent again until it is answered.
struct Sent {
    key: String,
    acknowledged: bool,
}

async fn try_post(service: &Service, key: &str, body: &[u8]) -> io::Result<Response> {
    let mut connection = Connection::try_open(service.address).await?;
    let key = format!("Idempotency-Key: {key}");
    connection.try_post("/batches", &[TOKEN, CSV, &key], body).await
}

/// Sends a batch until it is applied.
async fn until_applied(service: &Service, key: &str, body: &[u8]) -> Value {
    eventually("the batch is applied", Duration::from_mins(1), async || {
        let answer = try_post(service, key, body).await.ok()?;
        assert!(matches!(answer.status, 201 | 409 | 503), "{answer:?}");
        (answer.status == 201).then(|| answer.json())
    })
    .await
}

async fn check(postgres: &Postgres, database: &str, batches: usize) {
    let owner = postgres.owner(database).await;
    assert_eq!(
        number(&owner, BATCH_ROWS).await,
        i64::try_from(batches * ROWS).unwrap(),
        "every batch once, and nothing of another"
    );
    assert_eq!(number(&owner, DIFFERENCES).await, 0);
}

async fn a_process_killed_in_the_middle_of_batches(postgres: Arc<Postgres>) {
    let arguments = ["--lease-seconds", "0.5"];
    let mut ingest = Ingest::start(&postgres, &arguments).await;
    let body = many(ROWS);
    let mut random = Random(std::process::id().into());
    for round in 0..kills() {
        let mut sent = Sent {
            key: format!("round-{round}"),
            acknowledged: false,
        };
        let moment = Duration::from_millis(random.below(1200));
        let posting = try_post(&ingest.service, &sent.key, body.as_bytes());
        // The moment itself is what is tested here.
        let answered = tokio::time::timeout(moment, posting).await;
        sent.acknowledged = matches!(&answered, Ok(Ok(answer)) if answer.status == 201);
        ingest.service.kill();

        ingest = Ingest::of(&postgres, ingest.database.clone(), &arguments).await;
        let owner = postgres.owner(&ingest.database).await;
        let rows = number(&owner, BATCH_ROWS).await;
        let whole = i64::try_from(ROWS).unwrap();
        assert_eq!(rows % whole, 0, "a part of a batch is visible after {moment:?}");
        assert!(!sent.acknowledged || rows == i64::try_from(round + 1).unwrap() * whole);
        until_applied(&ingest.service, &sent.key, body.as_bytes()).await;
    }
    check(&postgres, &ingest.database, usize::try_from(kills()).unwrap()).await;
    nothing_is_left_over(&postgres, &ingest.database).await;
}

async fn a_database_killed_in_the_middle_of_batches(postgres: Arc<Postgres>) {
    let postgres = Arc::new(postgres.another());
    let ingest = Ingest::start(&postgres, &["--lease-seconds", "0.5"]).await;
    let body = many(ROWS);
    let mut random = Random(u64::from(std::process::id()) + 1);
    for round in 0..kills() {
        let key = format!("round-{round}");
        let moment = Duration::from_millis(random.below(1200));
        let killing = async {
            tokio::time::sleep(moment).await;
            postgres.crash();
            postgres.start_again();
        };
        let (answer, ()) = tokio::join!(try_post(&ingest.service, &key, body.as_bytes()), killing);
        let answer = answer.expect("the service itself was not killed");
        assert!(matches!(answer.status, 201 | 503), "{answer:?}");
        let applied = until_applied(&ingest.service, &key, body.as_bytes()).await;
        if answer.status == 201 {
            assert_eq!(answer.json(), applied, "after {moment:?}");
        }
    }
    check(&postgres, &ingest.database, usize::try_from(kills()).unwrap()).await;
    nothing_is_left_over(&postgres, &ingest.database).await;
}

async fn a_batch_whose_end_is_not_known_says_so_and_can_be_sent_again(postgres: Arc<Postgres>) {
    let postgres = Arc::new(postgres.another());
    let short = ["--request-timeout-seconds", "1", "--lease-seconds", "1"];
    let ingest = Ingest::start(&postgres, &short).await;
    let body = "orig_code,dest_code,day,price\n";
    let key = "Idempotency-Key: doubtful";
    let mut connection = ingest.service.connect().await;
    let head = format!(
        "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\n{key}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.send(head).await;
    let owner = postgres.owner(&ingest.database).await;
    eventually("the batch is claimed", SOON, async || {
        (number(&owner, "SELECT count(*) FROM rates_internal.batches").await == 1).then_some(())
    })
    .await;

    // Without rows there is nothing to copy: the next that the database is asked for is to decide.
    postgres.signal_all(Signal::SIGSTOP);
    connection.send(body).await;
    let answer = connection.receive(false).await;
    postgres.signal_all(Signal::SIGCONT);

    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.problem().contains("it is applied or not"), "{answer:?}");
    let location = answer.header("location").unwrap().to_owned();
    let applied = until_applied(&ingest.service, "doubtful", body.as_bytes()).await;
    assert!(
        location.ends_with(applied["id"].as_str().unwrap())
            || ingest.service.get(&location).await.status == 404
    );
}

/// What was given up is cleared away, and nothing but the applied batches is stored.
async fn nothing_is_left_over(postgres: &Postgres, database: &str) {
    let owner = postgres.owner(database).await;
    let left = "SELECT count(*) FROM rates_internal.batch_prices AS p
         WHERE NOT EXISTS (SELECT FROM rates_internal.batches AS b WHERE b.id = p.batch_id AND b.status = 'applied')";
    eventually("remains are cleared away", SOON, async || {
        (number(&owner, left).await == 0).then_some(())
    })
    .await;
}

async fn a_batch_whose_database_is_lost_is_told_before_all_of_it_was_sent(postgres: Arc<Postgres>) {
    let postgres = Arc::new(postgres.another());
    let ingest = Ingest::start(&postgres, &["--lease-seconds", "1"]).await;
    let before = count_prices(&postgres, &ingest.database).await;
    let admin = postgres.admin(&ingest.database).await;
    let body = many(1000);
    let sent = &body[..body.len() / 2];
    let mut connection = ingest.service.connect().await;
    let length = format!("Content-Length: {}", body.len());
    let key = "Idempotency-Key: cut";
    let head = ["POST /batches HTTP/1.1", "Host: test", TOKEN, CSV, key, &length];
    connection
        .send(format!("{}\r\n\r\n{sent}", head.join("\r\n")))
        .await;
    eventually("it is under way", SOON, async || {
        let statement = "SELECT count(*) FROM rates_internal.batches WHERE status = 'receiving'";
        (number(&admin, statement).await == 1).then_some(())
    })
    .await;

    postgres.crash();
    let answer = connection.receive(false).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    answer.problem();
    assert_eq!(answer.header("retry-after"), Some("2"));

    let again = Arc::clone(&postgres);
    tokio::task::spawn_blocking(move || again.start_again())
        .await
        .unwrap();
    until_applied(&ingest.service, "cut", body.as_bytes()).await;
    assert_eq!(count_prices(&postgres, &ingest.database).await, before + 1000);
}
