//! Which server is asked: the primary on the newest timeline, and no other.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::cluster::{Cluster, connections, metric, post, prices, until_served};
use crate::support::http::{EXAMPLE, rates};
use crate::support::postgres::{Postgres, number, uri_at};
use crate::support::program::Service;
use crate::support::{SOON, eventually, tests};

tests![
    a_server_in_recovery_is_not_used_and_the_process_stays_ready,
    a_primary_that_was_frozen_never_answers_once_another_was_promoted,
    connections_that_were_open_before_end_when_a_newer_timeline_is_seen,
    a_standby_tells_of_the_timeline_that_it_follows_and_answers_at_once,
];

const OLDER: &str = "rates_database_servers_refused_total{outcome=\"older_timeline\"}";
const IN_RECOVERY: &str = "rates_database_servers_refused_total{outcome=\"in_recovery\"}";

const SHORT: [&str; 2] = ["--request-timeout-seconds", "1"];

async fn a_server_in_recovery_is_not_used_and_the_process_stays_ready(postgres: Arc<Postgres>) {
    let cluster = Cluster::start(&postgres, 1).await;
    cluster.address.lead_to(cluster.standbys[0].port());
    let uri = uri_at(cluster.address.address.port(), &cluster.database);
    let service = Service::start(&uri, &SHORT);
    service.until_logged("the server is a standby").await;
    assert_eq!(service.get("/readyz").await.status, 503);
    cluster.address.lead_to(cluster.primary.port());
    service.until_ready().await;

    cluster.address.lead_to(cluster.standbys[0].port());
    cluster.primary.stop(Signal::SIGINT);
    for target in [EXAMPLE, "/batches", "/ports"] {
        let answer = service.get(target).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    }
    assert_eq!(
        service.get("/readyz").await.status,
        200,
        "it waits for the next primary"
    );
    assert!(metric(&service, IN_RECOVERY).await >= 1);
    cluster.promote(0).await;
    until_served(&service).await;
    assert_eq!(service.get("/batches").await.status, 200);
    assert_eq!(metric(&service, "rates_database_timeline{}").await, 2);
}

async fn a_primary_that_was_frozen_never_answers_once_another_was_promoted(postgres: Arc<Postgres>) {
    let cluster = Cluster::start(&postgres, 1).await;
    let ingest = cluster.ingest(&[]).await;
    assert_eq!(post(&ingest, "first").await.status, 201);
    assert_eq!(ingest.service.get("/batches").await.status, 200);
    cluster.until_followed().await;

    cluster.primary.signal_all(Signal::SIGSTOP);
    let next = cluster.promote(0).await;
    cluster.address.lead_to(next.port());
    let second = post(&ingest, "second").await;
    assert_eq!(second.status, 201, "{second:?}");
    cluster.primary.signal_all(Signal::SIGCONT);
    for _ in 0..200 {
        assert_eq!(prices(&ingest).await, 2);
    }
    let location = second.header("location").unwrap();
    assert_eq!(ingest.batch(location).await["status"], "applied");
    eventually("it has no connection to the old one", SOON, async || {
        (connections(&cluster.primary).await == 0).then_some(())
    })
    .await;

    // Also where the address leads there again.
    let cut = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}' AND usename = 'rates_a'",
        cluster.database
    );
    cluster.address.lead_to(cluster.primary.port());
    number(&*next.admin("postgres").await, &cut).await;
    let service = Arc::new(ingest);
    let reading = {
        let ingest = Arc::clone(&service);
        tokio::spawn(async move { prices(&ingest).await })
    };
    eventually("the old one is refused", SOON, async || {
        (metric(&service.service, OLDER).await > 3).then_some(())
    })
    .await;
    assert!(!reading.is_finished());
    assert_eq!(service.service.get("/readyz").await.status, 200);
    cluster.address.lead_to(next.port());
    assert_eq!(reading.await.unwrap(), 2);
}

async fn connections_that_were_open_before_end_when_a_newer_timeline_is_seen(postgres: Arc<Postgres>) {
    let cluster = Cluster::start(&postgres, 1).await;
    let ingest = cluster.ingest(&[]).await;
    assert_eq!(post(&ingest, "first").await.status, 201);
    assert_eq!(ingest.service.get("/batches").await.status, 200);
    // Both take writes, and nothing ends the connections to the old one.
    let next = cluster.promote(0).await;
    cluster.address.lead_to(next.port());
    let before = connections(&cluster.primary).await;
    assert!(before >= 5, "{before}");
    let one = "SELECT count(pg_terminate_backend(pid)) FROM (
         SELECT pid FROM pg_stat_activity WHERE application_name = 'rates-api' AND usename = 'rates_a' LIMIT 1
     ) AS one";
    assert_eq!(number(&*cluster.primary.admin("postgres").await, one).await, 1);
    eventually(
        "all end with the first that meets the new one",
        SOON,
        async || (connections(&cluster.primary).await == 0).then_some(()),
    )
    .await;
    until_served(&ingest.service).await;
}

async fn a_standby_tells_of_the_timeline_that_it_follows_and_answers_at_once(postgres: Arc<Postgres>) {
    let cluster = Cluster::start(&postgres, 2).await;
    let read = cluster.standbys[1].uri(&cluster.database);
    let arguments = ["--database-read-uri", &read, "--answer-cache-bytes", "0"];
    let ingest = cluster.ingest(&arguments).await;
    assert_eq!(post(&ingest, "first").await.status, 201);

    cluster.until_followed().await;

    // Nothing leads to the new primary yet, and the old one answers whoever is connected.
    let next = cluster.promote(0).await;
    cluster.address.lead_to(1);
    eventually("the old one is left", SOON, async || {
        (connections(&cluster.primary).await == 0).then_some(())
    })
    .await;
    cluster.address.lead_to(next.port());
    until_served(&ingest.service).await;

    // No restartpoint was made: only the receiver knows of the new timeline.
    let answered = "rates_standby_reads_total{outcome=\"answered\"}";
    let before = metric(&ingest.service, answered).await;
    let day = rates("2021-01-01", "2021-01-31", "CNGGZ", "EETLL");
    eventually("the standby answers", Duration::from_secs(5), async || {
        assert_eq!(ingest.service.get(&day).await.status, 200);
        (metric(&ingest.service, answered).await > before).then_some(())
    })
    .await;
    let admin = cluster.standbys[1].admin("postgres").await;
    let known = "SELECT timeline_id::bigint FROM pg_control_checkpoint()";
    assert_eq!(number(&admin, known).await, 1);
}
