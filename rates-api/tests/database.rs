//! A database that is slow, goes away, freezes or moves: requests wait for it, are told when to come back, and are
//! served as soon as it is there again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::http::EXAMPLE;
use crate::support::postgres::{Postgres, number};
use crate::support::program::Service;
use crate::support::{SOON, eventually, tests};

tests![
    a_request_waits_for_a_database_that_comes_back_in_time,
    a_request_that_waited_in_vain_is_told_when_to_come_back_and_service_returns_by_itself,
    a_database_that_crashes_loses_no_request,
    connections_that_the_server_ends_lose_no_request,
    a_frozen_server_costs_a_503_and_no_more,
    a_slow_server_is_not_asked_again_after_the_deadline,
    a_frozen_connection_is_replaced_although_the_server_answers_others,
    the_process_starts_without_a_database_and_serves_once_it_is_there,
    a_changed_password_is_read_at_the_next_connection,
    all_requests_share_a_few_connections,
];

const SHORT: [&str; 6] = [
    "--request-timeout-seconds",
    "1",
    "--query-timeout-seconds",
    "0.5",
    "--connect-timeout-seconds",
    "0.5",
];

async fn a_request_waits_for_a_database_that_comes_back_in_time(postgres: Arc<Postgres>) {
    let postgres = Arc::new(postgres.another());
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    let expected = service.get(EXAMPLE).await.json();

    postgres.stop(Signal::SIGINT);
    let mut connection = service.connect().await;
    connection.send(crate::support::http::head("GET", EXAMPLE)).await;
    service.until_logged("no connection to the database").await;
    assert_eq!(
        service.get("/readyz").await.status,
        200,
        "it stays ready, so that callers are waited for"
    );
    let again = Arc::clone(&postgres);
    tokio::task::spawn_blocking(move || again.start_again())
        .await
        .unwrap();
    let started = Instant::now();

    let response = connection.receive(false).await;
    assert_eq!((response.status, response.json()), (200, expected));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?} after the database",
        started.elapsed()
    );
}

async fn a_request_that_waited_in_vain_is_told_when_to_come_back_and_service_returns_by_itself(
    postgres: Arc<Postgres>,
) {
    let postgres = Arc::new(postgres.another());
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &SHORT).await;

    postgres.stop(Signal::SIGINT);
    let started = Instant::now();
    let response = service.get(EXAMPLE).await;
    let waited = started.elapsed();
    assert_eq!(response.status, 503);
    response.problem();
    assert_eq!(response.header("retry-after"), Some("2"));
    assert!((900..10_000).contains(&waited.as_millis()), "{waited:?}");

    let again = Arc::clone(&postgres);
    tokio::task::spawn_blocking(move || again.start_again())
        .await
        .unwrap();
    let started = Instant::now();
    assert_eq!(service.get(EXAMPLE).await.status, 200);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?} after the database",
        started.elapsed()
    );
}

async fn a_database_that_crashes_loses_no_request(postgres: Arc<Postgres>) {
    let postgres = Arc::new(postgres.another());
    let service = Arc::new(Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await);
    let reading = keep_reading(&service, 200);
    postgres.stop(Signal::SIGQUIT);
    let again = Arc::clone(&postgres);
    tokio::task::spawn_blocking(move || again.start_again())
        .await
        .unwrap();
    assert_eq!(reading.await.unwrap(), 200);
}

/// Requests one after the other; gives how many were answered with 200.
fn keep_reading(service: &Arc<Service>, count: usize) -> tokio::task::JoinHandle<usize> {
    let service = Arc::clone(service);
    tokio::spawn(async move {
        let mut connection = service.connect().await;
        let mut answered = 0;
        for _ in 0..count {
            answered += usize::from(connection.get(EXAMPLE).await.status == 200);
        }
        answered
    })
}

async fn connections_that_the_server_ends_lose_no_request(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let service = Arc::new(Service::ready(&postgres.uri(&database), &[]).await);
    let admin = postgres.admin("postgres").await;
    let reading: Vec<_> = (0..4).map(|_| keep_reading(&service, 500)).collect();
    let end = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND application_name = 'rates-api'"
    );
    let mut ended = 0;
    while ended < 20 {
        ended += number(&admin, &end).await;
        tokio::task::yield_now().await;
    }
    for reading in reading {
        assert_eq!(reading.await.unwrap(), 500);
    }
}

async fn a_frozen_server_costs_a_503_and_no_more(postgres: Arc<Postgres>) {
    let postgres = postgres.another();
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &SHORT).await;

    postgres.signal_all(Signal::SIGSTOP);
    let started = Instant::now();
    let response = service.get(EXAMPLE).await;
    assert_eq!(
        (response.status, response.header("retry-after")),
        (503, Some("2"))
    );
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(service.get("/healthz").await.status, 200);

    postgres.signal_all(Signal::SIGCONT);
    eventually("service is back", SOON, async || {
        (service.get(EXAMPLE).await.status == 200).then_some(())
    })
    .await;
}

/// A locked table is slow. Until the connection counts as silent, there is always one to ask on.
async fn a_slow_server_is_not_asked_again_after_the_deadline(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let patience = ["--request-timeout-seconds", "1", "--query-timeout-seconds", "4"];
    let service = Service::ready(&postgres.uri(&database), &patience).await;
    let owner = postgres.owner(&database).await;
    let asked = async || {
        let statement =
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
        number(&owner, statement).await
    };
    let before = asked().await;

    let locker = postgres.owner(&database).await;
    locker
        .batch_execute("BEGIN; LOCK TABLE rates_internal.sums IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    for _ in 0..3 {
        let started = Instant::now();
        assert_eq!(service.get(EXAMPLE).await.status, 503);
        assert!(
            (900..3_000).contains(&started.elapsed().as_millis()),
            "{:?}",
            started.elapsed()
        );
    }
    locker.batch_execute("ROLLBACK").await.unwrap();

    eventually("reads are answered again", SOON, async || {
        (service.get(EXAMPLE).await.status == 200).then_some(())
    })
    .await;
    // Each read asked once, for a snapshot and for prices; three connections are checked once a second.
    let questions = asked().await - before;
    assert!((1..200).contains(&questions), "{questions} questions");
}

async fn a_frozen_connection_is_replaced_although_the_server_answers_others(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let short = [&SHORT[2..], &["--read-connections", "1"]].concat();
    let service = Service::ready(&postgres.uri(&database), &short).await;
    let admin = postgres.admin("postgres").await;
    let find = format!(
        "SELECT pid::bigint FROM pg_stat_activity WHERE datname = '{database}' AND application_name = 'rates-api'"
    );
    let backend = nix::unistd::Pid::from_raw(i32::try_from(number(&admin, &find).await).unwrap());

    nix::sys::signal::kill(backend, Signal::SIGSTOP).unwrap();
    let response = service.get(EXAMPLE).await;
    nix::sys::signal::kill(backend, Signal::SIGCONT).unwrap();

    assert_eq!(response.status, 200);
}

async fn the_process_starts_without_a_database_and_serves_once_it_is_there(postgres: Arc<Postgres>) {
    let postgres = Arc::new(postgres.another());
    let database = postgres.seeded().await;
    postgres.stop(Signal::SIGINT);
    let service = Service::start(&postgres.uri(&database), &[]);
    service.until_logged("no connection to the database").await;
    assert_eq!(service.get("/readyz").await.status, 503);
    let again = Arc::clone(&postgres);
    tokio::task::spawn_blocking(move || again.start_again())
        .await
        .unwrap();
    service.until_ready().await;
    assert_eq!(service.get(EXAMPLE).await.status, 200);
}

async fn a_changed_password_is_read_at_the_next_connection(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("uri");
    std::fs::write(&file, postgres.uri(&database)).unwrap();
    let service = Service::start_with(&["--database-uri-file", file.to_str().unwrap()]);
    service.until_ready().await;

    let admin = postgres.admin("postgres").await;
    let by = |login: &str| {
        format!(
            "FROM pg_stat_activity WHERE datname = '{database}' AND usename = '{login}' AND application_name = 'rates-api'"
        )
    };
    let count = format!("SELECT count(*) {}", by("rates_a"));
    eventually("all are connected", SOON, async || {
        (number(&admin, &count).await == 3).then_some(())
    })
    .await;
    let other = postgres.uri(&database).replace("rates_a:secret", "rates_b:other");
    std::fs::write(&file, other).unwrap();
    let end = format!("SELECT count(pg_terminate_backend(pid)) {}", by("rates_a"));
    let count = format!("SELECT count(*) {}", by("rates_b"));
    eventually("the other login is used", SOON, async || {
        // Again: one that was being opened beside a silent one has the first login still.
        number(&admin, &end).await;
        (number(&admin, &count).await >= 3).then_some(())
    })
    .await;
    assert_eq!(service.get(EXAMPLE).await.status, 200);
}

async fn all_requests_share_a_few_connections(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let service = Arc::new(Service::ready(&postgres.uri(&database), &["--read-connections", "2"]).await);
    // A lock makes all of them wait at the same time.
    let owner = postgres.owner(&database).await;
    owner
        .batch_execute("BEGIN; LOCK TABLE rates_internal.sums")
        .await
        .unwrap();
    let reading: Vec<_> = (0..40).map(|_| keep_reading(&service, 1)).collect();
    let admin = postgres.admin("postgres").await;
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    eventually("both connections wait", SOON, async || {
        (number(&admin, waiting).await >= 2).then_some(())
    })
    .await;
    let open = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND application_name = 'rates-api'"
    );
    // The owner's session of this test has the same application name; and beside each one that is silent for more than a
    // second there may be another.
    assert!(number(&admin, &open).await <= 5);
    owner.batch_execute("COMMIT").await.unwrap();
    for reading in reading {
        assert_eq!(reading.await.unwrap(), 1);
    }
}
