//! Reads with a standby: it answers what it surely has, and what it lacks or cannot say comes from the primary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::batches::{CSV, DESTINATION, Ingest, ORIGIN, csv};
use crate::support::http::EXAMPLE;
use crate::support::postgres::{Postgres, number};
use crate::support::program::Service;
use crate::support::{SOON, eventually, tests};

tests![
    a_standby_that_has_everything_answers,
    every_acknowledged_batch_is_in_the_next_read_while_a_standby_follows,
    a_standby_that_lags_behind_is_passed_over_until_it_has_caught_up,
    a_standby_that_is_gone_or_frozen_costs_no_read,
    a_standby_of_another_database_answers_nothing,
    a_standby_that_was_promoted_beside_its_primary_answers_nothing,
    two_addresses_of_a_standby_are_refused,
];

const DAY: &str = "2023-05-01";

/// A primary, its standby, and a service that knows both.
struct Pair {
    primary: Postgres,
    standby: Postgres,
    ingest: Ingest,
}

impl Pair {
    async fn start(postgres: &Postgres, arguments: &[&str]) -> Self {
        let primary = postgres.another();
        let database = primary.seeded().await;
        let standby = primary.standby();
        let ingest = with_standby(&primary, &standby, database, arguments).await;
        Self {
            primary,
            standby,
            ingest,
        }
    }

    fn service(&self) -> &Service {
        &self.ingest.service
    }

    /// Adds a price on the day and reads the day: it has to be there at once.
    async fn add_and_read(&self, sum: &mut u32, number: u32) {
        *sum += number;
        let answer = self.ingest.post(&[CSV], csv([(DAY, number)])).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let day = self.ingest.day(ORIGIN, DESTINATION, DAY).await;
        let expected = (number >= 3).then(|| f64::from(*sum) / f64::from(number));
        assert_eq!(day, (json!(number), json!(expected)));
    }

    /// Waits until a read is answered by the standby.
    async fn until_answered(&self) {
        let before = reads(self.service(), "answered").await;
        eventually("the standby answers", SOON, async || {
            assert_eq!(self.service().get(EXAMPLE).await.status, 200);
            (reads(self.service(), "answered").await > before).then_some(())
        })
        .await;
    }
}

/// Nothing is kept, so that every read is made.
const KEEPS_NOTHING: [&str; 2] = ["--answer-cache-bytes", "0"];

async fn with_standby(
    primary: &Postgres,
    standby: &Postgres,
    database: String,
    arguments: &[&str],
) -> Ingest {
    let uri = standby.uri(&database);
    Ingest::of(
        primary,
        database,
        &[&["--database-read-uri", &uri], arguments].concat(),
    )
    .await
}

/// Reads that the standby was asked, by outcome.
async fn reads(service: &Service, outcome: &str) -> u64 {
    let name = format!("rates_standby_reads_total{{outcome=\"{outcome}\"}} ");
    let text = service.metrics().await;
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.map_or(0, |value| value.parse().unwrap())
}

async fn a_standby_that_has_everything_answers(postgres: Arc<Postgres>) {
    let pair = Pair::start(&postgres, &KEEPS_NOTHING).await;
    let alone = Service::ready(&pair.primary.uri(&pair.ingest.database), &[]).await;
    let expected = alone.get(EXAMPLE).await.json();

    pair.until_answered().await;
    let answered = reads(pair.service(), "answered").await;
    for _ in 0..20 {
        assert_eq!(pair.service().get(EXAMPLE).await.json(), expected);
    }
    assert_eq!(reads(pair.service(), "answered").await, answered + 20);
    let text = pair.service().metrics().await;
    assert!(
        text.contains("rates_database_connections{pool=\"standby\",state=\"shared\"} 3"),
        "{text}"
    );
}

async fn every_acknowledged_batch_is_in_the_next_read_while_a_standby_follows(postgres: Arc<Postgres>) {
    for kept in ["0", "1000000"] {
        let pair = Pair::start(&postgres, &["--answer-cache-bytes", kept]).await;
        let mut sum = 0;
        for number in 1..=100 {
            pair.add_and_read(&mut sum, number).await;
        }
        let asked = reads(pair.service(), "answered").await + reads(pair.service(), "behind").await;
        assert!(asked > 50, "{asked} with {kept} bytes of answers");
    }
}

async fn a_standby_that_lags_behind_is_passed_over_until_it_has_caught_up(postgres: Arc<Postgres>) {
    let pair = Pair::start(&postgres, &KEEPS_NOTHING).await;
    pair.until_answered().await;
    let admin = pair.standby.admin("postgres").await;
    admin.batch_execute("SELECT pg_wal_replay_pause()").await.unwrap();

    let (answered, mut sum) = (reads(pair.service(), "answered").await, 0);
    for number in 1..=5 {
        pair.add_and_read(&mut sum, number).await;
    }
    assert_eq!(reads(pair.service(), "answered").await, answered);
    assert!(reads(pair.service(), "behind").await >= 5);

    admin
        .batch_execute("SELECT pg_wal_replay_resume()")
        .await
        .unwrap();
    pair.until_answered().await;
    let day = pair.ingest.day(ORIGIN, DESTINATION, DAY).await;
    assert_eq!(day, (json!(5), json!(3.0)));
}

async fn a_standby_that_is_gone_or_frozen_costs_no_read(postgres: Arc<Postgres>) {
    let pair = Arc::new(Pair::start(&postgres, &KEEPS_NOTHING).await);
    pair.until_answered().await;
    let read = async || {
        let started = Instant::now();
        assert_eq!(pair.service().get(EXAMPLE).await.status, 200);
        started.elapsed()
    };

    pair.standby.signal_all(Signal::SIGSTOP);
    for _ in 0..10 {
        let took = read().await;
        assert!(took < Duration::from_secs(4), "{took:?} with it frozen");
    }
    assert!(reads(pair.service(), "failed").await >= 1);
    pair.standby.signal_all(Signal::SIGCONT);
    pair.until_answered().await;

    pair.standby.stop(Signal::SIGINT);
    for _ in 0..10 {
        let took = read().await;
        assert!(took < Duration::from_secs(4), "{took:?} with it gone");
    }
    let again = Arc::clone(&pair);
    tokio::task::spawn_blocking(move || again.standby.start_again())
        .await
        .unwrap();
    pair.until_answered().await;
}

async fn a_standby_of_another_database_answers_nothing(postgres: Arc<Postgres>) {
    let (one, other) = (postgres.another(), postgres.another());
    let database = one.seeded().await;
    assert_eq!(other.seeded().await, database, "both have one of that name");
    let ingest = with_standby(&one, &other, database, &KEEPS_NOTHING).await;
    eventually("the other one is asked", SOON, async || {
        assert_eq!(ingest.service.get(EXAMPLE).await.status, 200);
        (reads(&ingest.service, "behind").await > 3).then_some(())
    })
    .await;
    assert_eq!(reads(&ingest.service, "answered").await, 0);
}

async fn a_standby_that_was_promoted_beside_its_primary_answers_nothing(postgres: Arc<Postgres>) {
    let pair = Pair::start(&postgres, &KEEPS_NOTHING).await;
    pair.until_answered().await;
    let admin = pair.standby.admin("postgres").await;
    admin.batch_execute("SELECT pg_promote()").await.unwrap();
    // Its log goes far beyond the primary's.
    let owner = pair.standby.owner(&pair.ingest.database).await;
    owner
        .batch_execute("CREATE TABLE public.more AS SELECT n FROM generate_series(1, 100000) AS n")
        .await
        .unwrap();
    assert_eq!(
        number(&admin, "SELECT (NOT pg_is_in_recovery())::int::bigint").await,
        1
    );

    let (answered, mut sum) = (reads(pair.service(), "answered").await, 0);
    for number in 1..=5 {
        pair.add_and_read(&mut sum, number).await;
    }
    assert_eq!(reads(pair.service(), "answered").await, answered);
}

async fn two_addresses_of_a_standby_are_refused(_: Arc<Postgres>) {
    let finished = crate::support::program::run(&[
        "serve",
        "--database-uri",
        "postgres://h/d",
        "--database-read-uri",
        "postgres://h/d",
        "--database-read-uri-file",
        "/nowhere",
    ])
    .await;
    assert!(!finished.success);
    assert!(
        finished.message.contains("--database-read-uri-file"),
        "{}",
        finished.message
    );
}
