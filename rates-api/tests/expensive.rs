//! Reads that take long: they hold up no others, they end with whoever asked, and nothing that took too long is asked
//! again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::http::{EXAMPLE, head, rates};
use crate::support::postgres::{Open, Postgres, number};
use crate::support::program::Service;
use crate::support::{SOON, eventually, tests};

tests![
    region_reads_that_wait_hold_up_no_read_of_a_pair,
    a_region_read_ends_in_the_database_with_its_client,
    a_region_read_that_takes_too_long_says_so_and_ends_in_the_database,
    a_read_that_took_too_long_is_not_asked_again_and_its_connection_goes_on,
    a_connection_that_is_replaced_first_answers_what_was_asked_on_it,
];

/// A port that no read of a pair asks for, in one of these regions.
const SLOW_PORT: &str = "CNGGZ";

/// Who reads prices from that port waits until the session that this gives ends.
pub async fn gate(postgres: &Postgres, database: &str) -> Open {
    let admin = postgres.admin(database).await;
    let statements = format!(
        "CREATE FUNCTION public.pass(origin text) RETURNS boolean LANGUAGE plpgsql AS
             $$ BEGIN IF origin = '{SLOW_PORT}' THEN PERFORM pg_advisory_xact_lock_shared(13); END IF; RETURN true; END $$;
         CREATE POLICY gate ON rates_internal.sums USING (public.pass(orig_code));
         ALTER TABLE rates_internal.sums ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         SELECT pg_advisory_lock(13)"
    );
    admin.batch_execute(&statements).await.unwrap();
    admin
}

/// All pairs of two regions over ten years.
pub fn large() -> String {
    rates("2012-01-01", "2021-12-31", "asia", "europe")
}

/// Of a pair.
fn small() -> String {
    rates("2021-01-01", "2021-01-31", "CNSGH", "EETLL")
}

async fn until_waiting(admin: &Open, what: &str, wanted: i64) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually(what, SOON, async || {
        (number(admin, waiting).await == wanted).then_some(())
    })
    .await;
}

async fn region_reads_that_wait_hold_up_no_read_of_a_pair(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let gate = gate(&postgres, &database).await;
    let service = Service::ready(&postgres.uri(&database), &["--region-read-connections", "2"]).await;
    let admin = postgres.admin(&database).await;
    let large = large();
    let reading = futures::future::join_all((0..6).map(|_| service.get(&large)));
    let beside = async {
        until_waiting(&admin, "as many wait as are made at once", 2).await;
        for _ in 0..50 {
            assert_eq!(service.get(&small()).await.status, 200);
        }
        until_waiting(&admin, "they still wait", 2).await;
        drop(gate);
    };
    let (answers, ()) = tokio::join!(reading, beside);
    for answer in answers {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["rates"].as_array().unwrap().len(), 3653);
    }
}

async fn a_region_read_ends_in_the_database_with_its_client(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let gate = gate(&postgres, &database).await;
    let limits = [
        "--region-read-connections",
        "1",
        "--request-timeout-seconds",
        "60",
    ];
    let service = Service::ready(&postgres.uri(&database), &limits).await;
    let admin = postgres.admin(&database).await;
    // Over HTTP/1 a client that has gone looks like one that has no more to send.
    let stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::get(format!("http://test{}", large()))
        .body(())
        .unwrap();
    let (response, _) = client.ready().await.unwrap().send_request(request, true).unwrap();
    until_waiting(&admin, "it waits", 1).await;
    drop(response);
    driver.abort();
    until_waiting(&admin, "it waits no more", 0).await;
    drop(gate);
    assert_eq!(service.get(&large()).await.status, 200, "its connection is free");
}

async fn a_region_read_that_takes_too_long_says_so_and_ends_in_the_database(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let _gate = gate(&postgres, &database).await;
    let limits = ["--region-read-connections", "1", "--request-timeout-seconds", "1"];
    let service = Service::ready(&postgres.uri(&database), &limits).await;
    let admin = postgres.admin(&database).await;
    let large = large();
    let (first, second) = tokio::join!(service.get(&large), service.get(&large));
    for answer in [first, second] {
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
        answer.problem();
    }
    until_waiting(&admin, "nothing waits in the database", 0).await;
}

async fn a_read_that_took_too_long_is_not_asked_again_and_its_connection_goes_on(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let limits = ["--query-timeout-seconds", "1", "--request-timeout-seconds", "12"];
    let service = Service::ready(&postgres.uri(&database), &limits).await;
    let admin = postgres.admin(&database).await;
    let connections = async || {
        let statement = format!(
            "SELECT pid FROM pg_stat_activity WHERE datname = '{database}' AND application_name = 'rates-api'
             AND usename = 'rates_a' ORDER BY pid"
        );
        let rows = admin.query(&statement, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<i32>>()
    };
    let before = eventually("all are connected", SOON, async || {
        Some(connections().await).filter(|pids| pids.len() == 3)
    })
    .await;

    let locker = postgres.admin(&database).await;
    let lock = "BEGIN; LOCK TABLE rates_internal.sums IN ACCESS EXCLUSIVE MODE";
    locker.batch_execute(lock).await.unwrap();
    let began = Instant::now();
    let answer = service.get(EXAMPLE).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("2")));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    locker.batch_execute("ROLLBACK").await.unwrap();

    assert_eq!(service.get(EXAMPLE).await.status, 200);
    assert_eq!(connections().await, before);
}

async fn a_connection_that_is_replaced_first_answers_what_was_asked_on_it(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let admin = postgres.admin(&database).await;
    let failing = "CREATE FUNCTION public.pass(origin text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
             IF origin = 'CNGGZ' THEN
                 PERFORM pg_advisory_xact_lock_shared(13);
                 RAISE EXCEPTION 'refused';
             ELSIF origin = 'CNSGH' THEN
                 PERFORM pg_advisory_xact_lock_shared(14);
             END IF;
             RETURN true;
         END $$;
         INSERT INTO rates_internal.sums VALUES ('CNSGH', 'EETLL', '2021-01-01', 3000, 3) ON CONFLICT DO NOTHING;
         CREATE POLICY gate ON rates_internal.sums USING (public.pass(orig_code));
         ALTER TABLE rates_internal.sums ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY";
    admin.batch_execute(failing).await.unwrap();
    // Without kept answers nothing but the read itself is asked.
    let alone = ["--read-connections", "1", "--answer-cache-bytes", "0"];
    let service = Service::ready(&postgres.uri(&database), &alone).await;
    let (first, second) = (postgres.admin(&database).await, postgres.admin(&database).await);
    first.batch_execute("SELECT pg_advisory_lock(13)").await.unwrap();
    second.batch_execute("SELECT pg_advisory_lock(14)").await.unwrap();

    let mut refused = service.connect().await;
    refused.send(head("GET", EXAMPLE)).await;
    until_waiting(&admin, "the one that fails waits", 1).await;
    let mut behind = service.connect().await;
    behind.send(head("GET", &small())).await;
    eventually("both were asked", SOON, async || {
        service
            .metrics()
            .await
            .contains("rates_http_requests_in_flight 2")
            .then_some(())
    })
    .await;
    drop(first);
    assert_eq!(refused.receive(false).await.status, 500);
    // Another connection is there, and the other read still waits on the one before.
    let other = rates("2021-01-01", "2021-01-31", "NLRTM", "EETLL");
    assert_eq!(service.get(&other).await.status, 200);
    until_waiting(&admin, "the one behind it was asked once", 1).await;
    drop(second);
    assert_eq!(behind.receive(false).await.status, 200);
}
