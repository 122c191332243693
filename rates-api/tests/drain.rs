//! SIGTERM: what comes is served, what is under way is answered, connections end in order, and the end comes in time.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;

use crate::batches::{CSV, Ingest, TOKEN, count_prices, csv};
use crate::support::http::{EXAMPLE, head};
use crate::support::postgres::{Open, Postgres, number};
use crate::support::program::Service;
use crate::support::{SOON, eventually, tests};

tests![
    an_idle_process_ends_soon_and_well,
    a_new_connection_is_served_and_told_to_close,
    an_idle_connection_may_send_one_more_request,
    readiness_holds_until_the_listener_closes,
    a_request_under_way_is_answered_after_sigterm,
    a_pipelined_request_behind_the_last_answer_does_not_destroy_it,
    a_slow_reader_gets_its_whole_answer,
    traffic_that_goes_on_is_served_for_half_of_the_budget,
    the_deadline_ends_what_is_still_open,
    an_http_2_client_is_told_to_go_away_and_gets_its_answer,
    a_connection_that_was_just_accepted_is_served,
    a_batch_whose_client_went_away_after_its_last_byte_is_finished,
];

async fn started(postgres: &Postgres, arguments: &[&str]) -> (Service, String) {
    let database = postgres.seeded().await;
    (
        Service::ready(&postgres.uri(&database), arguments).await,
        database,
    )
}

/// Has reads wait until the session that is returned commits.
async fn hold_reads(postgres: &Postgres, database: &str) -> Open {
    let session = postgres.owner(database).await;
    session
        .batch_execute("BEGIN; LOCK TABLE rates_internal.sums")
        .await
        .unwrap();
    session
}

async fn until_a_read_waits(postgres: &Postgres, database: &str) {
    let admin = postgres.admin(database).await;
    let waiting =
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'rates_internal.sums'::regclass";
    eventually("a read waits", SOON, async || {
        (number(&admin, waiting).await > 0).then_some(())
    })
    .await;
}

async fn an_idle_process_ends_soon_and_well(postgres: Arc<Postgres>) {
    let (mut service, _) = started(&postgres, &["--drain-quiet-seconds", "0.1"]).await;
    service.terminate();
    assert!(service.ended(Duration::from_secs(5)).await.success());
}

async fn a_new_connection_is_served_and_told_to_close(postgres: Arc<Postgres>) {
    let (mut service, _) = started(&postgres, &["--drain-quiet-seconds", "3"]).await;
    service.terminate();
    service.until_logged("draining").await;

    let mut connection = service.connect().await;
    let response = connection.get(EXAMPLE).await;
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    connection.ended().await;
    assert!(service.ended(SOON).await.success());
}

async fn an_idle_connection_may_send_one_more_request(postgres: Arc<Postgres>) {
    let (mut service, _) = started(&postgres, &["--drain-quiet-seconds", "0.1"]).await;
    let mut used = service.connect().await;
    assert_eq!(used.get("/").await.header("connection"), None);
    let mut unused = service.connect().await;
    assert_eq!(unused.get("/").await.status, 200);

    service.terminate();
    service.until_logged("the listener is closed").await;

    let response = used.get(EXAMPLE).await;
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    used.ended().await;
    unused.ended().await;
    assert!(service.ended(SOON).await.success());
}

async fn readiness_holds_until_the_listener_closes(postgres: Arc<Postgres>) {
    let (mut service, _) = started(&postgres, &["--drain-quiet-seconds", "3"]).await;
    service.terminate();
    service.until_logged("draining").await;
    // Probes are no traffic: they do not keep it open.
    let mut probes = 0;
    while let Ok(response) = service.try_get("/readyz").await {
        assert_eq!(response.status, 200);
        probes += 1;
    }
    service.until_logged("the listener is closed").await;
    assert!(probes > 0);
    service.ended(SOON).await;
}

async fn a_request_under_way_is_answered_after_sigterm(postgres: Arc<Postgres>) {
    let (mut service, database) = started(
        &postgres,
        &["--drain-quiet-seconds", "0.1", "--drain-idle-seconds", "0"],
    )
    .await;
    let hold = hold_reads(&postgres, &database).await;
    let mut connection = service.connect().await;
    connection.send(head("GET", EXAMPLE)).await;
    until_a_read_waits(&postgres, &database).await;

    service.terminate();
    service.until_logged("draining").await;
    hold.batch_execute("COMMIT").await.unwrap();

    let response = connection.receive(false).await;
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    connection.ended().await;
    assert!(service.ended(SOON).await.success());
}

async fn a_pipelined_request_behind_the_last_answer_does_not_destroy_it(postgres: Arc<Postgres>) {
    let (mut service, database) = started(&postgres, &["--drain-quiet-seconds", "0.1"]).await;
    let hold = hold_reads(&postgres, &database).await;
    let mut connection = service.connect().await;
    connection.send(head("GET", EXAMPLE).repeat(2000)).await;
    until_a_read_waits(&postgres, &database).await;

    service.terminate();
    service.until_logged("draining").await;
    hold.batch_execute("COMMIT").await.unwrap();

    let response = connection.receive(false).await;
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    connection.ended().await;
    assert!(service.ended(SOON).await.success());
}

async fn a_slow_reader_gets_its_whole_answer(postgres: Arc<Postgres>) {
    let (mut service, _) = started(
        &postgres,
        &["--drain-quiet-seconds", "0.1", "--drain-idle-seconds", "0"],
    )
    .await;
    let mut connection = service.connect().await;
    // More than the sockets' buffers hold: the server cannot be done before the client reads.
    let long = EXAMPLE
        .replace("2021-01-01", "2012-01-01")
        .replace("2021-01-31", "2021-12-31");
    let count = 40;
    connection.send(head("GET", &long).repeat(count)).await;
    let first = connection.receive(false).await;

    service.terminate();
    service.until_logged("the listener is closed").await;

    let mut received = 1;
    while let Some(response) = connection.try_receive(false).await {
        assert_eq!(response.body.len(), first.body.len());
        received += 1;
        if response.header("connection") == Some("close") {
            connection.ended().await;
            assert!(service.ended(SOON).await.success());
            return;
        }
    }
    assert_eq!(received, count, "the connection ended without saying so");
    assert!(service.ended(SOON).await.success());
}

async fn traffic_that_goes_on_is_served_for_half_of_the_budget(postgres: Arc<Postgres>) {
    let (mut service, _) = started(&postgres, &["--drain-seconds", "6", "--drain-quiet-seconds", "2"]).await;
    let started = std::time::Instant::now();
    service.terminate();
    service.until_logged("draining").await;
    let mut served = 0;
    while let Ok(response) = service.try_get("/").await {
        assert_eq!(
            (response.status, response.header("connection")),
            (200, Some("close"))
        );
        served += 1;
    }
    let open = started.elapsed();
    assert!(
        served > 10 && open >= Duration::from_secs(3),
        "{served} answers in {open:?}"
    );
    assert!(service.ended(Duration::from_secs(10)).await.success());
}

async fn the_deadline_ends_what_is_still_open(postgres: Arc<Postgres>) {
    let (mut service, database) = started(
        &postgres,
        &["--drain-seconds", "1", "--drain-quiet-seconds", "0.1"],
    )
    .await;
    let _hold = hold_reads(&postgres, &database).await;
    let mut connection = service.connect().await;
    connection.send(head("GET", EXAMPLE)).await;
    until_a_read_waits(&postgres, &database).await;

    service.terminate();
    let time = service.time_to_end().await;

    assert!((900..10_000).contains(&time.as_millis()), "{time:?}");
    connection.gone().await;
}

async fn an_http_2_client_is_told_to_go_away_and_gets_its_answer(postgres: Arc<Postgres>) {
    let (mut service, database) = started(&postgres, &["--drain-quiet-seconds", "0.1"]).await;
    let hold = hold_reads(&postgres, &database).await;
    let stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = |target: &str| Request::get(format!("http://test{target}")).body(()).unwrap();
    let (response, _) = client.send_request(request(EXAMPLE), true).unwrap();
    until_a_read_waits(&postgres, &database).await;

    service.terminate();
    service.until_logged("draining").await;
    hold.batch_execute("COMMIT").await.unwrap();

    assert_eq!(response.await.unwrap().status(), 200);
    drop(client);
    driver.await.unwrap().unwrap();
    assert!(service.ended(SOON).await.success());
}

async fn a_connection_that_was_just_accepted_is_served(postgres: Arc<Postgres>) {
    let (mut service, _) = started(&postgres, &["--drain-quiet-seconds", "3"]).await;
    let mut connection = service.connect().await;
    service.terminate();
    service.until_logged("draining").await;
    let response = connection.get("/").await;
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    assert!(service.ended(SOON).await.success());
}

async fn a_batch_whose_client_went_away_after_its_last_byte_is_finished(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--drain-quiet-seconds", "0.1"]).await;
    let before = count_prices(&postgres, &ingest.database).await;
    let hold = postgres.owner(&ingest.database).await;
    // The batch comes in, and cannot be decided as long as this is held.
    hold.batch_execute("BEGIN; LOCK TABLE rates_internal.batch_ports")
        .await
        .unwrap();
    let mut client = ingest.service.connect().await;
    client
        .send_post("/batches", &[TOKEN, CSV], csv([("2022-05-01", 1); 3]))
        .await;
    let admin = postgres.admin(&ingest.database).await;
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'rates_internal.batch_ports'::regclass";
    eventually("the batch waits", SOON, async || {
        (number(&admin, waiting).await > 0).then_some(())
    })
    .await;
    drop(client);

    let (mut service, database) = (ingest.service, ingest.database);
    service.terminate();
    service.until_logged("the listener is closed").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    hold.batch_execute("COMMIT").await.unwrap();

    assert!(service.ended(SOON).await.success());
    assert_eq!(count_prices(&postgres, &database).await, before + 3);
}
