//! An acknowledgement is one: what it says is on a standby, if the server waits for one.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use rates_api::batches::locked_connection::LockedConnection;
use rates_api::batches::store::{self, BatchClaim, StoreError};
use rates_api::batches::{Status, connections as batch_connections};
use rates_api::database::{Address, Primary};

use super::cluster::{Cluster, post, prices};
use crate::batches::{Ingest, anna, empty};
use crate::support::http::EXAMPLE;
use crate::support::postgres::{Open, Postgres, number};
use crate::support::{SOON, eventually, tests};

tests![
    a_commit_that_was_told_not_to_wait_is_acknowledged_once_a_standby_has_it,
    a_decision_that_waits_is_never_cancelled_and_takes_no_more_than_its_connections,
    a_batch_that_a_failover_lost_is_not_acknowledged_by_what_it_left,
    a_batch_is_not_decided_where_some_of_its_prices_are_lost,
];

const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = 'rates_a'";

async fn until_waiting(admin: &Open) {
    eventually("a commit waits for a standby", SOON, async || {
        (number(admin, WAITING).await > 0).then_some(())
    })
    .await;
}

/// Cancels the commits that wait, as a person may.
async fn cancel(admin: &Open) {
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
         WHERE wait_event = 'SyncRep' AND application_name = 'rates-api batches'";
    assert_eq!(number(admin, cancel).await, 1);
}

async fn unacknowledged(ingest: &Ingest, key: &str) -> String {
    let answer = post(ingest, key).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("2")),
        "{answer:?}"
    );
    answer.header("location").unwrap_or_default().to_owned()
}

async fn a_commit_that_was_told_not_to_wait_is_acknowledged_once_a_standby_has_it(postgres: Arc<Postgres>) {
    let cluster = Cluster::start(&postgres, 1).await.with_quorum().await;
    let ingest = cluster.ingest(&["--request-timeout-seconds", "3"]).await;
    let admin = cluster.primary.admin(&cluster.database).await;
    assert_eq!(post(&ingest, "before").await.status, 201);

    cluster.standbys[0].signal_all(Signal::SIGSTOP);
    let (location, ()) = tokio::join!(unacknowledged(&ingest, "cancelled"), async {
        until_waiting(&admin).await;
        cancel(&admin).await;
    });
    let applied = "SELECT count(*) FROM rates_internal.batches WHERE status = 'applied'";
    assert_eq!(number(&admin, applied).await, 2, "it is committed here");
    // Neither the same again nor a look at it says so, as long as it is here alone.
    assert_eq!(unacknowledged(&ingest, "cancelled").await, location);
    for target in [location.as_str(), "/batches"] {
        let answer = ingest.service.get(target).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    }
    assert!(
        number(&admin, WAITING).await >= 1,
        "it waits for a write of its own"
    );

    cluster.standbys[0].signal_all(Signal::SIGCONT);
    let answer = post(&ingest, "cancelled").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("location"), Some(location.as_str()));
    assert_eq!(ingest.batch(&location).await["status"], "applied");
    assert_eq!(prices(&ingest).await, 2);
    let text = ingest.service.metrics().await;
    assert!(
        text.contains("rates_batches_total{outcome=\"unconfirmed\"} 2"),
        "{text}"
    );
}

async fn a_decision_that_waits_is_never_cancelled_and_takes_no_more_than_its_connections(
    postgres: Arc<Postgres>,
) {
    let cluster = Cluster::start(&postgres, 1).await.with_quorum().await;
    let arguments = ["--request-timeout-seconds", "1", "--max-batches", "2"];
    let ingest = cluster.ingest(&arguments).await;
    let admin = cluster.primary.admin(&cluster.database).await;

    cluster.standbys[0].signal_all(Signal::SIGSTOP);
    for batch in 0..10 {
        unacknowledged(&ingest, &format!("waiting-{batch}")).await;
        assert_eq!(
            ingest.service.get("/batches").await.status,
            200,
            "none is decided"
        );
        assert_eq!(ingest.service.get(EXAMPLE).await.status, 200);
    }
    // Two for each batch at once, two in the background.
    let waiting = number(&admin, WAITING).await;
    assert!((1..=6).contains(&waiting), "{waiting} wait");
    let applied = "SELECT count(*) FROM rates_internal.batches WHERE status = 'applied'";
    assert_eq!(number(&admin, applied).await, 0);

    cluster.standbys[0].signal_all(Signal::SIGCONT);
    for batch in 0..10 {
        eventually("it is applied", SOON, async || {
            let answer = post(&ingest, &format!("waiting-{batch}")).await;
            assert!(matches!(answer.status, 201 | 409 | 503), "{answer:?}");
            (answer.status == 201).then_some(())
        })
        .await;
    }
    assert_eq!(prices(&ingest).await, 10);
}

async fn a_batch_that_a_failover_lost_is_not_acknowledged_by_what_it_left(postgres: Arc<Postgres>) {
    let cluster = Cluster::start(&postgres, 1).await.with_quorum().await;
    let ingest = cluster.ingest(&["--request-timeout-seconds", "3"]).await;
    let admin = cluster.primary.admin(&cluster.database).await;
    cluster.standbys[0].signal_all(Signal::SIGSTOP);
    let (location, ()) = tokio::join!(unacknowledged(&ingest, "lost"), async {
        until_waiting(&admin).await;
        cancel(&admin).await;
    });
    // Asked again, it waits; then its server is lost.
    let key = "lost";
    let again = unacknowledged(&ingest, key);
    let losing = async {
        eventually("it waits for a write of its own", SOON, async || {
            (number(&admin, WAITING).await > 0).then_some(())
        })
        .await;
        cluster.primary.crash();
        cluster.standbys[0].signal_all(Signal::SIGCONT);
        let next = cluster.promote(0).await;
        cluster.address.lead_to(next.port());
    };
    let ((), _) = tokio::join!(losing, again);
    let answer = eventually("it is applied after all", SOON, async || {
        let answer = post(&ingest, key).await;
        (answer.status == 201).then_some(answer)
    })
    .await;
    let location_now = answer.header("location").unwrap();
    assert_eq!(ingest.batch(location_now).await["status"], "applied");
    let before = ingest.service.get(&location).await.status;
    assert!(location_now == location || before == 404, "{location} {before}");
    assert_eq!(prices(&ingest).await, 1);
}

async fn a_batch_is_not_decided_where_some_of_its_prices_are_lost(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let primary = Primary::new(Address::Uri(postgres.uri(&database)));
    let connections = batch_connections(&primary, 2, Duration::from_mins(1)).unwrap();
    let mut connection = LockedConnection::new(connections.get(SOON).await.unwrap());
    let claim = store::claim(&mut connection, &anna(), Some("key"), false, SOON).await;
    let Ok(BatchClaim::New(id)) = claim else {
        panic!("{claim:?}")
    };
    let mut content = empty();
    content.rows = 3;
    let mut other = connections.get(SOON).await.unwrap();
    let decided = store::decide_again(&mut other, id, &content).await;
    assert!(
        matches!(
            decided,
            Err(StoreError::Incomplete {
                found: 0,
                expected: 3
            })
        ),
        "{decided:?}"
    );
    let decided = store::decide_again(&mut other, id, &empty()).await;
    assert_eq!(decided.unwrap().status, Status::Applied);
}
