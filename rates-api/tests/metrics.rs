//! What the service tells Prometheus, on a port of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::batches::{CSV, Ingest, TOKEN, csv};
use crate::expensive::{gate, large};
use crate::support::http::EXAMPLE;
use crate::support::postgres::Postgres;
use crate::support::program::{Service, command, run};
use crate::support::{SOON, eventually, tests};

tests![
    requests_are_counted_by_the_template_of_their_route,
    callers_can_make_no_new_label,
    metrics_are_not_on_the_port_of_the_service_nor_anything_else_on_theirs,
    batches_and_their_rows_are_counted_by_what_came_of_them,
    connections_and_the_backlog_are_told_and_without_a_database_the_rest_is,
    what_waits_for_a_connection_or_to_be_folded_is_told_while_it_waits,
    the_drain_is_told_to_its_end,
    the_build_and_every_unit_are_named,
    the_documentation_has_every_metric_and_no_others,
    off_is_off_and_an_address_that_is_taken_is_named,
];

/// The value of a sample, written as it is in the text; none if there is no such sample.
pub fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))
        .map(|value| value.parse().unwrap())
}

#[track_caller]
fn assert_value(text: &str, sample: &str, expected: f64) {
    let found = value(text, sample);
    assert!(
        found.is_some_and(|found| (found - expected).abs() < 1e-9),
        "{sample} is {found:?}, not {expected}, in\n{text}"
    );
}

async fn requests_are_counted_by_the_template_of_their_route(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    for _ in 0..3 {
        assert_eq!(service.get(EXAMPLE).await.status, 200);
    }
    service.get("/rates").await;
    service.get("/batches/17").await;
    service.connect().await.request("HEAD", "/").await;
    let text = service.metrics().await;
    let requests = |labels: &str| format!("rates_http_requests_total{{{labels}}}");
    let rates = r#"method="GET",route="/rates""#;
    assert_value(&text, &requests(&format!("{rates},status=\"200\"")), 3.0);
    assert_value(&text, &requests(&format!("{rates},status=\"400\"")), 1.0);
    assert_value(
        &text,
        &requests(r#"method="GET",route="/batches/{id}",status="404""#),
        1.0,
    );
    assert_value(&text, &requests(r#"method="HEAD",route="/",status="200""#), 1.0);
    let duration = "rates_http_request_duration_seconds";
    assert_value(&text, &format!("{duration}_count{{{rates}}}"), 4.0);
    assert_value(&text, &format!("{duration}_bucket{{le=\"+Inf\",{rates}}}"), 4.0);
    let sum = value(&text, &format!("{duration}_sum{{{rates}}}")).unwrap();
    assert!(sum > 0.0 && sum < 60.0, "{sum}");
    assert_value(&text, "rates_http_requests_in_flight", 0.0);
}

async fn callers_can_make_no_new_label(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &[]);
    let mut connection = service.connect().await;
    for number in 0..20 {
        connection.get(&format!("/nowhere/{number}")).await;
        connection
            .request(&format!("BREW{number}"), &format!("/{number}"))
            .await;
        connection.request(&format!("BREW{number}"), "/rates").await;
    }
    let text = service.metrics().await;
    let series = text
        .lines()
        .filter(|line| line.starts_with("rates_http_requests_total"))
        .count();
    assert_eq!(series, 3, "{text}");
    assert_value(
        &text,
        r#"rates_http_requests_total{method="other",route="/rates",status="405"}"#,
        20.0,
    );
}

async fn metrics_are_not_on_the_port_of_the_service_nor_anything_else_on_theirs(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &[]);
    assert_eq!(service.get("/metrics").await.status, 404);
    let mut connection = crate::support::http::Connection::open(service.metrics).await;
    for path in ["/", "/rates", "/healthz", "/metrics/"] {
        assert_eq!(connection.get(path).await.status, 404, "{path}");
    }
    let response = connection.get("/metrics").await;
    assert_eq!(
        response.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(response.body.ends_with(b"# EOF\n"));
}

async fn batches_and_their_rows_are_counted_by_what_came_of_them(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &[]).await;
    let text = ingest.service.metrics().await;
    let batches = |outcome: &str| format!("rates_batches_total{{outcome=\"{outcome}\"}}");
    for outcome in [
        "applied", "rejected", "queued", "repeated", "refused", "given_up", "failed",
    ] {
        assert_value(&text, &batches(outcome), 0.0);
    }
    let three = csv([("2022-05-01", 1), ("2022-05-01", 2), ("2022-05-02", 3)]);
    let key = "Idempotency-Key: once";
    for _ in 0..2 {
        assert_eq!(ingest.post(&[CSV, key], &three).await.status, 201);
    }
    assert_eq!(ingest.post(&[CSV], csv([("2022-05-01", 0)])).await.status, 422);
    assert_eq!(ingest.post(&[CSV], "nonsense").await.status, 400);
    let asynchronous = [CSV, "Prefer: respond-async"];
    assert_eq!(ingest.post(&asynchronous, &three).await.status, 202);
    let text = eventually("the asynchronous batch is counted", SOON, async || {
        let text = ingest.service.metrics().await;
        (value(&text, &batches("applied")) == Some(2.0)).then_some(text)
    })
    .await;
    for (outcome, expected) in [
        ("rejected", 1.0),
        ("queued", 1.0),
        ("repeated", 1.0),
        ("refused", 1.0),
        ("given_up", 0.0),
        ("failed", 0.0),
    ] {
        assert_value(&text, &batches(outcome), expected);
    }
    assert_value(&text, "rates_batch_rows_total", 6.0);
    // Without a token it is a request, and no batch.
    let answer = ingest
        .service
        .connect()
        .await
        .post("/batches", &[CSV], &three)
        .await;
    assert_eq!(answer.status, 401);
    assert_value(&ingest.service.metrics().await, &batches("refused"), 1.0);
}

async fn connections_and_the_backlog_are_told_and_without_a_database_the_rest_is(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--max-batches", "2", "--read-connections", "2"]).await;
    let mut slow = ingest.service.connect().await;
    slow.send(format!(
        "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\nContent-Length: 30\r\n\r\n"
    ))
    .await;
    let text = eventually("the batch and both connections are there", SOON, async || {
        let text = ingest.service.metrics().await;
        let live = value(
            &text,
            r#"rates_database_connections{pool="reads",state="shared"}"#,
        );
        (value(&text, "rates_batches_in_flight") == Some(1.0) && live == Some(2.0)).then_some(text)
    })
    .await;
    assert_value(&text, "rates_batches_waiting", 0.0);
    assert_value(&text, "rates_batches_limit", 2.0);
    assert_value(&text, "rates_http_requests_in_flight", 1.0);
    assert_value(&text, "rates_batches_queued{}", 0.0);
    assert_value(&text, "rates_batches_unfolded{}", 0.0);
    assert_value(&text, "rates_batches_unfolded_oldest_seconds{}", 0.0);
    assert_value(
        &text,
        r#"rates_database_connections_waiting{pool="regions"}"#,
        0.0,
    );
    assert_value(&text, "rates_ready", 1.0);
    assert_value(&text, r#"rates_database_connections_limit{pool="reads"}"#, 2.0);
    assert_value(&text, r#"rates_database_connections_limit{pool="batches"}"#, 6.0);
    slow.send("orig_code,dest_code,day,price\n").await;
    assert_eq!(slow.receive(false).await.status, 201);

    let alone = Service::start("postgres://nobody@127.0.0.1:9/none", &[]);
    let text = alone.metrics().await;
    assert_value(&text, "rates_ready", 0.0);
    assert_value(
        &text,
        r#"rates_database_connections{pool="reads",state="shared"}"#,
        0.0,
    );
    assert_eq!(value(&text, "rates_batches_queued{}"), None, "{text}");
    assert_eq!(
        value(&text, "rates_batches_unfolded_oldest_seconds{}"),
        None,
        "{text}"
    );
}

async fn what_waits_for_a_connection_or_to_be_folded_is_told_while_it_waits(postgres: Arc<Postgres>) {
    let database = postgres.seeded().await;
    let ingest = Ingest::of(&postgres, database.clone(), &["--region-read-connections", "1"]).await;
    let gate = gate(&postgres, &database).await;
    // A batch is taken in beside the sums, and what is folded into them has to pass the gate, too.
    let batch = csv([("2022-05-01", 100)]);
    assert_eq!(ingest.post(&[CSV], batch).await.status, 201);
    let regions = large();
    let reading = futures::future::join_all((0..3).map(|_| ingest.service.get(&regions)));
    let waiting = r#"rates_database_connections_waiting{pool="regions"}"#;
    let oldest = "rates_batches_unfolded_oldest_seconds{}";
    let looking = async {
        let text = eventually("two reads wait for the third's connection", SOON, async || {
            let text = ingest.service.metrics().await;
            (value(&text, waiting) == Some(2.0)).then_some(text)
        })
        .await;
        assert_value(
            &text,
            r#"rates_database_connections{pool="regions",state="used"}"#,
            1.0,
        );
        assert_value(&text, "rates_batches_unfolded{}", 1.0);
        assert!(value(&text, oldest).is_some_and(|age| age > 0.0), "{text}");
        drop(gate);
    };
    let (answers, ()) = tokio::join!(reading, looking);
    assert!(answers.iter().all(|answer| answer.status == 200));
    eventually("nothing waits", SOON, async || {
        let text = ingest.service.metrics().await;
        let idle = value(&text, oldest) == Some(0.0) && value(&text, waiting) == Some(0.0);
        idle.then_some(())
    })
    .await;
}

async fn the_drain_is_told_to_its_end(postgres: Arc<Postgres>) {
    let ingest = Ingest::start(&postgres, &["--drain-quiet-seconds", "0.1"]).await;
    let mut service = ingest.service;
    assert_value(&service.metrics().await, "rates_drain_state", 0.0);
    let mut slow = service.connect().await;
    slow.send(format!(
        "POST /batches HTTP/1.1\r\nHost: test\r\n{TOKEN}\r\n{CSV}\r\nContent-Length: 30\r\n\r\n"
    ))
    .await;
    eventually("the batch has begun", SOON, async || {
        (value(&service.metrics().await, "rates_batches_in_flight") == Some(1.0)).then_some(())
    })
    .await;

    service.terminate();
    service.until_logged("draining").await;
    assert_value(&service.metrics().await, "rates_drain_state", 1.0);
    service.until_logged("the listener is closed").await;
    let text = service.metrics().await;
    assert_value(&text, "rates_drain_state", 2.0);
    assert_value(&text, "rates_batches_in_flight", 1.0);

    slow.send("orig_code,dest_code,day,price\n").await;
    assert_eq!(slow.receive(false).await.status, 201);
    drop(slow);
    assert!(service.ended(Duration::from_secs(10)).await.success());
}

async fn the_build_and_every_unit_are_named(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    service.get("/").await;
    let text = service.metrics().await;
    let build = format!("rates_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_value(&text, &build, 1.0);
    let mut names = 0;
    for line in text.lines() {
        let name = line.split(['{', ' ']).next().unwrap();
        if let Some(name) = line.strip_prefix("# TYPE ") {
            let (name, kind) = name.split_once(' ').unwrap();
            assert!(name.starts_with("rates_"), "{line}");
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
            assert!(kind != "unknown", "{line}");
            names += 1;
        } else if name.contains("duration") && !line.starts_with('#') {
            assert!(name.contains("_seconds"), "{line}");
        }
    }
    assert!(names >= 14, "{text}");
}

async fn the_documentation_has_every_metric_and_no_others(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    service.get("/").await;
    let text = service.metrics().await;
    let told: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        })
        .collect();
    let documented: BTreeSet<String> = include_str!("../../docs/running-the-api.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `rates_")?.split_once('`'))
        .map(|(name, _)| format!("rates_{name}"))
        .collect();
    assert_eq!(told, documented);
}

async fn off_is_off_and_an_address_that_is_taken_is_named(_: Arc<Postgres>) {
    let database = "postgres://nobody@127.0.0.1:9/none";
    let serve = ["serve", "--listen", "127.0.0.1:0", "--database-uri", database];
    let mut child = command(&[&serve[..], &["--metrics-listen", "off"]].concat())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.take().unwrap()),
        &mut line,
    )
    .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let first: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(first["metrics"], "off");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = run(&[&serve[..], &["--metrics-listen", &address]].concat()).await;
    assert!(!finished.success);
    assert!(
        finished.message.contains(&format!("cannot listen on {address}")),
        "{}",
        finished.message
    );
}
