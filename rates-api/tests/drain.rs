//! SIGTERM: what comes is served, what is under way is answered, connections end in order, and the end comes in time.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;

use crate::batches::{CSV, Ingest, TOKEN, count_prices, csv};
use crate::support::http::{Connection, EXAMPLE, head};
use crate::support::postgres::{Open, Postgres, number};
use crate::support::program::Service;
use crate::support::{SOON, eventually, tests};

tests![
    an_idle_process_ends_soon_and_well,
    a_new_connection_is_served_and_told_to_close,
    an_idle_connection_may_send_one_more_request,
    readiness_holds_until_the_listener_closes,
    a_request_under_way_is_answered_after_sigterm,
    pipelined_requests_that_were_sent_are_all_answered,
    a_client_that_pipelines_for_ever_is_ended_in_order,
    an_idle_connection_is_served_as_long_as_a_batch_goes_on,
    a_head_that_trickles_in_is_waited_for,
    a_batch_that_waits_for_100_continue_is_taken_in,
    a_batch_is_answered_over_http_2_after_go_away,
    a_batch_that_outlasts_the_drain_is_refused_and_not_cut,
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

async fn pipelined_requests_that_were_sent_are_all_answered(postgres: Arc<Postgres>) {
    let (mut service, database) = started(&postgres, &["--drain-quiet-seconds", "0.1"]).await;
    let hold = hold_reads(&postgres, &database).await;
    let mut connection = service.connect().await;
    // More than the server has in its buffer: the rest waits in the kernel's.
    let count = 2000;
    connection.send(head("GET", EXAMPLE).repeat(count)).await;
    until_a_read_waits(&postgres, &database).await;

    service.terminate();
    service.until_logged("draining").await;
    hold.batch_execute("COMMIT").await.unwrap();

    for number in 1..=count {
        let response = connection.receive(false).await;
        let close = (number == count).then_some("close");
        assert_eq!(
            (response.status, response.header("connection")),
            (200, close),
            "answer {number}"
        );
    }
    connection.ended().await;
    assert!(service.ended(SOON).await.success());
}

async fn a_client_that_pipelines_for_ever_is_ended_in_order(postgres: Arc<Postgres>) {
    let (mut service, _) = started(&postgres, &["--drain-seconds", "4"]).await;
    let mut connection = service.connect().await;
    let some = head("GET", "/").repeat(100);
    connection.send(&some).await;
    service.terminate();
    service.until_logged("draining").await;
    let last = loop {
        let response = connection.receive(false).await;
        if response.header("connection") == Some("close") {
            break response;
        }
        let _ = connection.try_send(head("GET", "/").as_bytes(), false).await;
    };
    assert_eq!(last.status, 200);
    connection.gone().await;
    assert!(service.ended(SOON).await.success());
}

/// Sends the head of a batch, and waits until it is claimed.
async fn begin_batch(postgres: &Postgres, ingest: &Ingest, length: usize, more: &str) -> Connection {
    let mut client = ingest.service.connect().await;
    let head = format!(
        "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\n{more}Content-Length: {length}\r\n\r\n"
    );
    client.send(head).await;
    let owner = postgres.owner(&ingest.database).await;
    eventually("the batch is claimed", SOON, async || {
        (number(&owner, "SELECT count(*) FROM rates_internal.batches").await == 1).then_some(())
    })
    .await;
    client
}

const SHORT: [&str; 4] = ["--drain-quiet-seconds", "0.1", "--drain-idle-seconds", "0.2"];

async fn an_idle_connection_is_served_as_long_as_a_batch_goes_on(postgres: Arc<Postgres>) {
    let mut ingest = Ingest::start(&postgres, &[&SHORT[..], &["--drain-seconds", "8"]].concat()).await;
    let body = csv([("2022-05-01", 7); 3]);
    let mut idle = ingest.service.connect().await;
    assert_eq!(idle.get("/").await.status, 200);
    let mut unused = ingest.service.connect().await;
    assert_eq!(unused.get("/").await.status, 200);
    let mut batch = begin_batch(&postgres, &ingest, body.len(), "").await;
    ingest.service.terminate();
    // With a batch under way that is at half of the budget, long after an idle connection's time.
    ingest.service.until_logged("the listener is closed").await;

    let response = idle.get(EXAMPLE).await;
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close"))
    );
    idle.ended().await;
    batch.send(&body).await;
    let answer = batch.receive(false).await;
    assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
    batch.ended().await;
    unused.ended().await;
    assert!(ingest.service.ended(SOON).await.success());
}

async fn a_head_that_trickles_in_is_waited_for(postgres: Arc<Postgres>) {
    let arguments = [&SHORT[..], &["--drain-seconds", "10"]].concat();
    let (mut service, _) = started(&postgres, &arguments).await;
    let mut used = service.connect().await;
    assert_eq!(used.get("/").await.status, 200);
    let mut new = service.connect().await;
    let head = head("GET", EXAMPLE);
    let (first, rest) = head.split_at(10);
    used.send(first).await;
    new.send(first).await;
    service.terminate();
    service.until_logged("the listener is closed").await;
    for byte in rest.as_bytes() {
        used.send([*byte]).await;
        new.send([*byte]).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for mut connection in [used, new] {
        let response = connection.receive(false).await;
        assert_eq!(
            (response.status, response.header("connection")),
            (200, Some("close"))
        );
        connection.ended().await;
    }
    assert!(service.ended(SOON).await.success());
}

async fn a_batch_that_waits_for_100_continue_is_taken_in(postgres: Arc<Postgres>) {
    let mut ingest = Ingest::start(&postgres, &SHORT).await;
    let body = csv([("2022-05-01", 7); 3]);
    let mut client = begin_batch(&postgres, &ingest, body.len(), "Expect: 100-continue\r\n").await;
    assert_eq!(client.receive(true).await.status, 100);
    ingest.service.terminate();
    ingest.service.until_logged("draining").await;
    client.send(&body).await;
    let answer = client.receive(false).await;
    assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
    client.ended().await;
    assert!(ingest.service.ended(SOON).await.success());
}

async fn a_batch_is_answered_over_http_2_after_go_away(postgres: Arc<Postgres>) {
    let mut ingest = Ingest::start(&postgres, &SHORT).await;
    let hold = hold_reads(&postgres, &ingest.database).await;
    let stream = tokio::net::TcpStream::connect(ingest.service.address)
        .await
        .unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let read = Request::get(format!("http://test{EXAMPLE}")).body(()).unwrap();
    let (read, _) = client.send_request(read, true).unwrap();
    let post = Request::post("http://test/batches")
        .header("authorization", "Bearer writer-1")
        .header("content-type", "text/csv")
        .body(())
        .unwrap();
    let (posted, mut body) = client.send_request(post, false).unwrap();
    until_a_read_waits(&postgres, &ingest.database).await;
    let owner = postgres.owner(&ingest.database).await;
    eventually("the batch is claimed", SOON, async || {
        (number(&owner, "SELECT count(*) FROM rates_internal.batches").await == 1).then_some(())
    })
    .await;

    ingest.service.terminate();
    ingest.service.until_logged("draining").await;
    eventually("the client is told to go away", SOON, async || {
        let again = Request::get("http://test/").body(()).unwrap();
        let mut ready = client.clone().ready().await.ok();
        ready
            .as_mut()
            .is_none_or(|client| client.send_request(again, true).is_err())
            .then_some(())
    })
    .await;
    hold.batch_execute("COMMIT").await.unwrap();
    assert_eq!(read.await.unwrap().status(), 200);
    body.send_data(csv([("2022-05-01", 7); 3]).into(), true).unwrap();
    assert_eq!(posted.await.unwrap().status(), 201);
    drop(client);
    driver.await.unwrap().unwrap();
    assert!(ingest.service.ended(SOON).await.success());
}

async fn a_batch_that_outlasts_the_drain_is_refused_and_not_cut(postgres: Arc<Postgres>) {
    let mut ingest = Ingest::start(&postgres, &["--drain-seconds", "2"]).await;
    let key = "Idempotency-Key: long\r\n";
    let mut client = begin_batch(&postgres, &ingest, 100, key).await;
    ingest.service.terminate();
    let answer = client.receive(false).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    assert!(ingest.service.ended(SOON).await.success());
    let next = Ingest::of(&postgres, ingest.database.clone(), &[]).await;
    let key = "Idempotency-Key: long";
    assert_eq!(next.post(&[CSV, key], csv([("2022-05-01", 7)])).await.status, 201);
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
