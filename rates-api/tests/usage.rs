//! For how long the process says that it was not in use.

use std::sync::Arc;

use crate::batches::{CSV, Ingest, TOKEN, csv};
use crate::metrics::value;
use crate::support::http::EXAMPLE;
use crate::support::postgres::Postgres;
use crate::support::program::Service;
use crate::support::{SOON, eventually, tests};

tests![
    requests_are_use_and_those_of_probes_and_monitors_are_not,
    a_batch_is_use_to_its_end,
    a_session_of_another_program_is_use_and_its_own_are_not,
];

async fn idle(service: &Service) -> f64 {
    value(&service.metrics().await, "rates_idle_seconds").unwrap()
}

/// Waits until it was idle for longer than some seconds.
async fn until_idle(service: &Service, seconds: f64) -> f64 {
    eventually("it is idle", SOON, async || {
        let idle = idle(service).await;
        (idle > seconds).then_some(idle)
    })
    .await
}

async fn requests_are_use_and_those_of_probes_and_monitors_are_not(postgres: Arc<Postgres>) {
    let monitors = ["--idle-user-agents", "Blackbox Exporter/,other"];
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &monitors).await;
    assert_eq!(service.get(EXAMPLE).await.status, 200);
    let before = until_idle(&service, 0.5).await;
    for probe in ["/healthz", "/readyz"] {
        service.get(probe).await;
    }
    let mut monitor = service.connect().await;
    monitor
        .send("GET / HTTP/1.1\r\nHost: test\r\nUser-Agent: Blackbox Exporter/0.25\r\n\r\n")
        .await;
    assert_eq!(monitor.receive(false).await.status, 200);
    let after = idle(&service).await;
    assert!(after > before, "{after} s after {before} s");
    assert_eq!(service.get("/nowhere").await.status, 404);
    let used = idle(&service).await;
    assert!(used < after, "{used} s after {after} s");
}

async fn a_batch_is_use_to_its_end(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let ingest = Ingest::of(&postgres, database.clone(), &[]).await;
    let service = &ingest.service;
    until_idle(service, 0.2).await;
    // It is read to its end, and waits there.
    let owner = postgres.owner(&database).await;
    owner
        .batch_execute("BEGIN; LOCK TABLE rates_internal.batch_prices IN SHARE MODE")
        .await
        .unwrap();
    let mut client = service.connect().await;
    let content = csv([("2022-05-01", 1)]);
    let length = content.len();
    client
        .send(format!(
            "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\nContent-Length: {length}\r\n\r\n{content}"
        ))
        .await;
    let in_flight = async |expected: f64| {
        eventually("the batch begins or ends", SOON, async || {
            let text = service.metrics().await;
            (value(&text, "rates_batches_in_flight") == Some(expected)).then_some(())
        })
        .await;
    };
    in_flight(1.0).await;
    assert!(idle(service).await <= 0.0);
    owner.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(client.receive(false).await.status, 201);
    in_flight(0.0).await;
    until_idle(service, 0.0).await;
}

async fn a_session_of_another_program_is_use_and_its_own_are_not(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let service = Service::ready(&postgres.uri(&database), &[]).await;
    // It has looked again, and found its own sessions alone.
    let before = until_idle(&service, 10.5).await;
    let session = postgres.connect(&database).await;
    eventually("the session is seen", SOON, async || {
        (idle(&service).await < before).then_some(())
    })
    .await;
    drop(session);
}
