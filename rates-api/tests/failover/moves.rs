//! A failover as callers see it: reads are late, batches are told to come again and then pass.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rates_api::database::connect;

use super::cluster::{Cluster, post, prices, wait_for_standbys};
use crate::batches::{CSV, DESTINATION, Ingest, ORIGIN, TOKEN, csv};
use crate::support::forward::Forwarder;
use crate::support::http::EXAMPLE;
use crate::support::postgres::{Postgres, number, uri_at};
use crate::support::{SOON, eventually, tests};

tests![
    reads_wait_for_the_next_primary_and_batches_pass_when_they_are_sent_again,
    a_batch_on_a_primary_that_is_frozen_is_told_as_soon_as_another_is_promoted,
    an_address_that_says_nothing_any_more_is_left_for_where_it_leads_next,
    a_handshake_that_hangs_is_begun_anew_and_one_that_ends_late_is_not_used,
];

/// Begins a batch and sends no end, once the database has it.
async fn begin(cluster: &Cluster, ingest: &Ingest, key: &str) -> crate::support::http::Connection {
    let body = csv([("2023-05-01", 7)]);
    let mut connection = ingest.service.connect().await;
    let head = format!(
        "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\nIdempotency-Key: {key}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.send(head).await;
    connection.send(&body[..body.len() - 1]).await;
    let admin = cluster.standbys[0].admin(&cluster.database).await;
    eventually("the standby has the claim", SOON, async || {
        let statement = "SELECT count(*) FROM rates_internal.batches WHERE status = 'receiving'";
        (number(&admin, statement).await == 1).then_some(())
    })
    .await;
    connection
}

async fn reads_wait_for_the_next_primary_and_batches_pass_when_they_are_sent_again(postgres: Arc<Postgres>) {
    let cluster = Cluster::start(&postgres, 2).await.with_quorum().await;
    let ingest = Arc::new(cluster.ingest(&[]).await);
    assert_eq!(post(&ingest, "first").await.status, 201);
    let mut batch = begin(&cluster, &ingest, "interrupted").await;

    cluster.primary.crash();
    let reading: Vec<_> = (0..20)
        .map(|_| {
            let ingest = Arc::clone(&ingest);
            tokio::spawn(async move { ingest.day(ORIGIN, DESTINATION, "2023-05-01").await })
        })
        .collect();
    let answer = batch.receive(false).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    assert!(answer.problem().contains("Nothing was written"), "{answer:?}");
    // Sent again while there is no primary, it waits, as reads do.
    let again = {
        let ingest = Arc::clone(&ingest);
        tokio::spawn(async move { post(&ingest, "next").await.status })
    };
    let next = cluster.promote(0).await;
    wait_for_standbys(next).await;
    cluster.address.lead_to(next.port());
    let started = Instant::now();
    for reading in reading {
        // With the next batch, or without it.
        let (count, _) = reading.await.unwrap();
        assert!(count == 1 || count == 2, "{count}");
    }
    assert!(
        started.elapsed() < Duration::from_secs(9),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(again.await.unwrap(), 201);

    let started = Instant::now();
    eventually("the interrupted batch passes", SOON, async || {
        let answer = post(&ingest, "interrupted").await;
        assert!(matches!(answer.status, 201 | 409), "{answer:?}");
        (answer.status == 201).then_some(())
    })
    .await;
    // Its key is not in use until the lease ends, after 15 s.
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(prices(&ingest).await, 3);
}

async fn a_batch_on_a_primary_that_is_frozen_is_told_as_soon_as_another_is_promoted(postgres: Arc<Postgres>) {
    let cluster = Cluster::start(&postgres, 1).await;
    let ingest = cluster.ingest(&[]).await;
    let mut batch = begin(&cluster, &ingest, "frozen").await;

    cluster.primary.signal_all(Signal::SIGSTOP);
    batch.send("\n").await;
    let next = cluster.promote(0).await;
    cluster.address.lead_to(next.port());
    let started = Instant::now();
    let answer = batch.receive(false).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    cluster.primary.signal_all(Signal::SIGCONT);
    eventually("it passes", SOON, async || {
        let answer = post(&ingest, "frozen").await;
        (answer.status == 201).then_some(())
    })
    .await;
    assert_eq!(prices(&ingest).await, 1);
}

async fn an_address_that_says_nothing_any_more_is_left_for_where_it_leads_next(postgres: Arc<Postgres>) {
    let cluster = Cluster::start(&postgres, 1).await;
    let ingest = cluster.ingest(&[]).await;
    assert_eq!(post(&ingest, "first").await.status, 201);

    // The same server at another place: no timeline tells the two apart.
    cluster.address.silence();
    cluster.address.lead_to(cluster.primary.port());
    let started = Instant::now();
    eventually("new reads are answered", SOON, async || {
        let reading = ingest.service.get(EXAMPLE);
        let answer = tokio::time::timeout(Duration::from_millis(500), reading).await;
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    })
    .await;
    // A query may take 5 s before its connection counts as dead.
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );

    // Another server: those who wait for the silent one are told by its timeline.
    cluster.address.silence();
    let next = cluster.promote(0).await;
    cluster.address.lead_to(next.port());
    let started = Instant::now();
    assert_eq!(prices(&ingest).await, 1);
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(post(&ingest, "second").await.status, 201);
}

async fn a_handshake_that_hangs_is_begun_anew_and_one_that_ends_late_is_not_used(postgres: Arc<Postgres>) {
    let (frozen, database) = (postgres.another(), postgres.empty().await);
    let address = Forwarder::to(frozen.port()).await;
    let config: tokio_postgres::Config = uri_at(address.address.port(), &database).parse().unwrap();
    let begin = || {
        let config = config.clone();
        tokio::spawn(async move { connect(&config, Duration::from_secs(10)).await })
    };
    frozen.signal_all(Signal::SIGSTOP);
    // The address comes to lead to a server that answers.
    let connecting = begin();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    address.lead_to(postgres.port());
    assert!(connecting.await.unwrap().is_ok());
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    // It leads nowhere, and then the frozen server goes on: it may not be the primary any more.
    address.lead_to(frozen.port());
    let connecting = begin();
    tokio::time::sleep(Duration::from_millis(700)).await;
    address.lead_to(1);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!connecting.is_finished());
    frozen.signal_all(Signal::SIGCONT);
    assert!(connecting.await.unwrap().is_err());
}
