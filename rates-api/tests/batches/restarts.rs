//! An orderly stop of the database: batches under way are finished first, new ones wait for its next start, and the
//! lock that says so is free again whatever becomes of a batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rates_api::batches::locked_connection::{LockedConnection, TAKING_IN};
use rates_api::batches::store::{self, BatchClaim};
use rates_api::batches::{Ports, connections};
use rates_api::database::{Address, Connections, Primary};

use super::{CSV, Ingest, TOKEN, anna, count_prices, csv, empty};
use crate::support::postgres::{Open, Postgres, number};
use crate::support::random::Random;
use crate::support::{SOON, eventually, tests};

tests![
    a_batch_under_way_is_waited_for_and_the_next_goes_on_after_the_restart,
    a_batch_that_gets_the_lock_from_the_stop_itself_goes_on_after_the_restart,
    the_lock_is_free_after_success_refusal_and_disconnect,
    the_lock_is_free_after_a_task_that_was_dropped_at_any_moment,
    a_batch_that_waits_for_a_stop_in_vain_is_answered_in_time_and_can_be_sent_again,
    a_known_key_is_answered_while_others_wait,
    a_database_that_stalls_at_the_end_keeps_no_batch_longer_than_its_time,
    the_program_in_the_database_pod_asks_for_the_same_lock,
];

/// Those who have the batches' lock, or wait for it.
async fn lock(admin: &Open, granted: bool) -> i64 {
    let statement = format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted = {granted}
         AND (classid::bigint << 32 | objid::bigint) = {TAKING_IN}
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    number(admin, &statement).await
}

async fn until_locks(admin: &Open, what: &str, granted: bool, count: i64) {
    eventually(what, SOON, async || {
        (lock(admin, granted).await == count).then_some(())
    })
    .await;
}

/// Asks for the lock as the program in the pod does; the session has it when the task ends.
async fn ask(postgres: &Postgres, database: &str) -> tokio::task::JoinHandle<Open> {
    let session = postgres.admin(database).await;
    tokio::spawn(async move {
        let ask = format!("SELECT pg_advisory_lock({TAKING_IN})");
        session.batch_execute(&ask).await.unwrap();
        session
    })
}

fn head(length: usize, more: &str) -> String {
    format!(
        "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\n{more}Content-Length: {length}\r\n\r\n"
    )
}

async fn a_batch_under_way_is_waited_for_and_the_next_goes_on_after_the_restart(postgres: Arc<Postgres>) {
    let postgres = Arc::new(postgres.another());
    // The second batch waits as long as a request may, and the server's restart may take long where others work too.
    let ingest = Ingest::start(&postgres, &["--request-timeout-seconds", "60"]).await;
    let before = count_prices(&postgres, &ingest.database).await;
    let admin = postgres.admin(&ingest.database).await;
    let body = csv([("2022-05-01", 7), ("2022-05-02", 7)]);
    let mut first = ingest.service.connect().await;
    first.send(head(body.len(), "")).await;
    until_locks(&admin, "the first batch has the lock", true, 1).await;

    let stop = ask(&postgres, &ingest.database).await;
    until_locks(&admin, "the stop waits", false, 1).await;
    let mut second = ingest.service.connect().await;
    second.send_post("/batches", &[TOKEN, CSV], &body).await;
    until_locks(&admin, "the second batch waits behind it", false, 2).await;

    first.send(&body).await;
    assert_eq!(first.receive(false).await.status, 201);
    let _kept = stop.await.unwrap();
    until_locks(&admin, "the second batch still waits", false, 1).await;
    assert_eq!(count_prices(&postgres, &ingest.database).await, before + 2);

    drop(admin);
    postgres.stop(Signal::SIGINT);
    postgres.start_again();
    let answer = second.receive(false).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(count_prices(&postgres, &ingest.database).await, before + 4);
}

/// The stop ends the session that has the lock, and has not yet ended that of the batch. It takes no connection.
async fn a_batch_that_gets_the_lock_from_the_stop_itself_goes_on_after_the_restart(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--request-timeout-seconds", "60"]).await;
    let admin = postgres.admin(&ingest.database).await;
    let elsewhere = postgres.admin("postgres").await;
    let stop = ask(&postgres, &ingest.database).await.await.unwrap();
    let body = csv([("2022-05-01", 7)]);
    let mut batch = ingest.service.connect().await;
    batch
        .send_post("/batches", &[TOKEN, CSV, "Idempotency-Key: once"], &body)
        .await;
    until_locks(&admin, "the batch waits", false, 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;

    let connections = async |allowed: bool| {
        let allow = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allowed}", ingest.database);
        elsewhere.batch_execute(&allow).await.unwrap();
    };
    connections(false).await;
    drop(stop);
    let claimed = "SELECT count(*) FROM rates_internal.batches WHERE status = 'receiving'";
    eventually("the batch has its row", SOON, async || {
        (number(&admin, claimed).await == 1).then_some(())
    })
    .await;
    until_locks(&admin, "the batch gave the lock back", true, 0).await;
    assert_eq!(number(&admin, claimed).await, 1, "it has read nothing");

    connections(true).await;
    let answer = batch.receive(false).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(
        ingest
            .day(super::ORIGIN, super::DESTINATION, "2022-05-01")
            .await
            .0,
        1
    );
}

async fn the_lock_is_free_after_success_refusal_and_disconnect(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let admin = postgres.admin(&ingest.database).await;
    assert_eq!(ingest.post(&[CSV], csv([("2022-05-01", 7)])).await.status, 201);
    until_locks(&admin, "free after a success", true, 0).await;
    assert_eq!(ingest.post(&[CSV], csv([("2022-05-01", 0)])).await.status, 422);
    until_locks(&admin, "free after a refusal", true, 0).await;
    assert_eq!(ingest.post(&[super::JSON], "[").await.status, 400);
    until_locks(&admin, "free after what cannot be read", true, 0).await;

    let mut client = ingest.service.connect().await;
    client.send(head(1000, "")).await;
    until_locks(&admin, "taken while it comes in", true, 1).await;
    drop(client);
    until_locks(&admin, "free after the client went away", true, 0).await;
}

async fn the_lock_is_free_after_a_task_that_was_dropped_at_any_moment(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let admin = postgres.admin(&database).await;
    let primary = Primary::new(Address::Uri(postgres.uri(&database)));
    let connections = connections(&primary, 2, Duration::from_mins(1)).unwrap();
    let taking = |connections: Connections| async move {
        let mut connection = LockedConnection::new(connections.get(SOON).await.unwrap());
        Ports::read(connection.client().unwrap()).await.unwrap();
        let claim = store::claim(&mut connection, &anna(), None, false, SOON)
            .await
            .unwrap();
        let BatchClaim::New(id) = claim else {
            panic!("{claim:?}")
        };
        store::decide(connection.session().unwrap(), id, &empty())
            .await
            .unwrap();
    };
    let mut random = Random(7);
    for _ in 0..100 {
        let moment = Duration::from_micros(random.below(3000));
        // The moment itself is what is tested here.
        let _ = tokio::time::timeout(moment, taking(connections.clone())).await;
    }
    until_locks(&admin, "free after every drop", true, 0).await;

    let stop = ask(&postgres, &database).await.await.unwrap();
    let waiting = tokio::spawn(taking(connections.clone()));
    until_locks(&admin, "it waits for the lock", false, 1).await;
    waiting.abort();
    until_locks(&admin, "nobody waits any more", false, 0).await;
    drop(stop);
    until_locks(&admin, "nobody has the lock", true, 0).await;
    taking(connections).await;
}

async fn a_batch_that_waits_for_a_stop_in_vain_is_answered_in_time_and_can_be_sent_again(
    postgres: Arc<Postgres>,
) {
    let ingest = Ingest::start(&postgres, &["--request-timeout-seconds", "1"]).await;
    let admin = postgres.admin(&ingest.database).await;
    let stop = ask(&postgres, &ingest.database).await.await.unwrap();
    let key = "Idempotency-Key: again";
    let body = csv([("2022-05-01", 7)]);
    let began = Instant::now();
    let answer = ingest.post(&[CSV, key], &body).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    until_locks(&admin, "nobody waits any more", false, 0).await;
    drop(stop);
    eventually("it is taken in when it is sent again", SOON, async || {
        (ingest.post(&[CSV, key], &body).await.status == 201).then_some(())
    })
    .await;
}

async fn a_known_key_is_answered_while_others_wait(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--request-timeout-seconds", "5"]).await;
    let key = "Idempotency-Key: known";
    let body = csv([("2022-05-01", 7)]);
    let first = ingest.post(&[CSV, key], &body).await;
    let _stop = ask(&postgres, &ingest.database).await.await.unwrap();
    let again = ingest.post(&[CSV, key], &body).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.body, again.body);
}

/// Content that trickles to the end of its time, and a server that then answers nothing: both together are bounded.
async fn a_database_that_stalls_at_the_end_keeps_no_batch_longer_than_its_time(postgres: Arc<Postgres>) {
    let postgres = Arc::new(postgres.another());
    let times = ["--request-timeout-seconds", "2", "--max-batch-seconds", "2"];
    let ingest = Ingest::start(&postgres, &times).await;
    let body = "orig_code,dest_code,day,price\n";
    let mut connection = ingest.service.connect().await;
    let began = Instant::now();
    connection.send(head(body.len(), "")).await;
    while began.elapsed() < Duration::from_millis(1700) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    postgres.signal_all(Signal::SIGSTOP);
    connection.send(body).await;
    let answer = connection.receive(false).await;
    let took = began.elapsed();
    postgres.signal_all(Signal::SIGCONT);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(took < Duration::from_millis(5500), "{took:?}");
}

async fn the_program_in_the_database_pod_asks_for_the_same_lock(_: Arc<Postgres>) {
    let program = include_str!("../../../images/postgres/rates-postgres-drain");
    assert!(program.contains(&format!("TAKING_IN = {TAKING_IN}\n")));
}
