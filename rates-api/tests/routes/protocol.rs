//! What holds at every path: methods, problem documents, request ids, bounds, HTTP/2, and bytes that are no HTTP.

use std::sync::Arc;

use axum::body::Bytes;
use serde_json::Value;

use crate::batches::Ingest;
use crate::support::http::{EXAMPLE, head};
use crate::support::postgres::Postgres;
use crate::support::program::Service;
use crate::support::{SOON, tests};

tests![
    other_paths_are_404_and_other_methods_405,
    equivalent_paths_are_one_path,
    head_has_the_headers_of_get_and_no_body,
    a_request_id_is_kept_or_made_and_is_in_the_log,
    the_trace_of_a_request_is_in_its_lines_of_the_log_and_in_no_answer,
    every_line_of_the_log_is_there_after_the_end,
    what_is_no_http_is_refused_and_the_next_request_is_served,
    a_head_that_is_too_large_is_refused,
    pipelined_requests_are_answered_in_order,
    a_client_that_ends_its_side_after_the_request_is_answered,
    http_2_with_prior_knowledge_is_served,
];

async fn other_paths_are_404_and_other_methods_405(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &[]);
    let mut connection = service.connect().await;
    for path in [
        "/rates/",
        "/Rates",
        "/RATES",
        "/rates%2F",
        "/rates//",
        "/rates/.",
        "/ra/tes",
        "/rates%00",
        "/r%C3%A4tes",
        "/rates/x",
        "/rate",
        "/index.html",
        "/%FF",
        "/readyz/",
        "*",
    ] {
        let response = connection.get(path).await;
        assert_eq!(response.status, 404, "{path}");
        response.problem();
    }
    for path in ["/", "/rates", EXAMPLE] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            let response = connection.request(method, path).await;
            assert_eq!(response.status, 405, "{method} {path}");
            assert_eq!(response.header("allow"), Some("GET,HEAD"));
            response.problem();
        }
    }
}

/// As RFC 3986 has it (section 6.2.2), and, for slashes in front, as the original service.
async fn equivalent_paths_are_one_path(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    let mut connection = service.connect().await;
    let expected = connection.get(EXAMPLE).await;
    let query = EXAMPLE.strip_prefix("/rates").unwrap();
    for path in [
        "//rates",
        "///rates",
        "/r%61tes",
        "/%72%61%74%65%73",
        "/./rates",
        "/%2e/rates",
        "/x/../rates",
        "/../rates",
        "http://elsewhere/rates",
        "http://elsewhere:8080//r%61tes",
    ] {
        let response = connection.get(&format!("{path}{query}")).await;
        assert_eq!((response.status, &response.body), (200, &expected.body), "{path}");
    }
    let encoded = query.replace("date_from", "%64ate%5Ffrom");
    assert_eq!(
        connection.get(&format!("/rates{encoded}")).await.body,
        expected.body
    );
    assert_eq!(connection.request("POST", "//r%61tes").await.status, 405);
    let metrics = service.metrics().await;
    assert!(
        metrics.contains("rates_http_requests_total{method=\"GET\",route=\"/rates\",status=\"200\"} 12"),
        "{metrics}"
    );
}

async fn head_has_the_headers_of_get_and_no_body(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    let mut connection = service.connect().await;
    for target in ["/", EXAMPLE, "/rates", "/nowhere"] {
        let get = connection.get(target).await;
        let head = connection.request("HEAD", target).await;
        assert_eq!(
            (head.status, head.header("content-type")),
            (get.status, get.header("content-type")),
            "{target}"
        );
        assert_eq!(
            head.header("content-length"),
            get.header("content-length"),
            "{target}"
        );
    }
}

async fn a_request_id_is_kept_or_made_and_is_in_the_log(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &[]);
    let mut connection = service.connect().await;

    connection
        .send("GET /here HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine-1\r\n\r\n")
        .await;
    assert_eq!(
        connection.receive(false).await.header("x-request-id"),
        Some("mine-1")
    );
    service.until_logged("mine-1").await;

    connection
        .send("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: a \"b\"\r\n\r\n")
        .await;
    let made = connection
        .receive(false)
        .await
        .header("x-request-id")
        .unwrap()
        .to_owned();
    assert_eq!(made.len(), 32);
    service.until_logged(&made).await;
}

async fn the_trace_of_a_request_is_in_its_lines_of_the_log_and_in_no_answer(postgres: Arc<Postgres>) {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let ingest = Ingest::start(&postgres, &[]).await;
    let trace = format!("Traceparent: 00-{TRACE}-00f067aa0ba902b7-01");
    let answer = ingest
        .post(
            &["Content-Type: text/csv", "X-Request-Id: traced", &trace],
            "nonsense",
        )
        .await;
    assert_eq!((answer.status, answer.header("traceparent")), (400, None));
    let invalid = "Traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01";
    let answer = ingest.post(&["X-Request-Id: untraced", invalid], "").await;
    assert_eq!(answer.status, 415);
    ingest.service.until_logged("\"untraced\"").await;

    let log = ingest.service.log();
    let of = |id: &str| -> Vec<Value> {
        let lines = log
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["span"]["request_id"] == id).collect()
    };
    let traced = of("traced");
    let messages: Vec<&str> = traced
        .iter()
        .filter_map(|line| line["message"].as_str())
        .collect();
    assert_eq!(messages, ["a batch was not taken in", "answered"]);
    for line in traced {
        assert_eq!(line["span"]["trace_id"], TRACE);
        assert_eq!(line["span"]["parent_id"], "00f067aa0ba902b7");
    }
    let untraced = of("untraced");
    assert_eq!(untraced.len(), 1);
    assert_eq!(untraced[0]["span"]["trace_id"], Value::Null);
}

async fn every_line_of_the_log_is_there_after_the_end(postgres: Arc<Postgres>) {
    let uri = postgres.uri(&postgres.empty().await);
    let mut service = Service::start(&uri, &["--drain-quiet-seconds", "0"]);
    let mut connection = service.connect().await;
    for number in 0..1000 {
        connection
            .send(format!(
                "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: number-{number}.\r\n\r\n"
            ))
            .await;
        connection.receive(false).await;
    }
    drop(connection);
    service.terminate();
    assert!(service.ended(SOON).await.success());
    service.until_logged("\"stopped\"").await;
    let log = service.log();
    for number in 0..1000 {
        assert!(
            log.contains(&format!("\"number-{number}.\"")),
            "{number} is not there"
        );
    }
}

async fn what_is_no_http_is_refused_and_the_next_request_is_served(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &[]);
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(1000));
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost a\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        b"POST /rates HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        long.as_bytes(),
    ] {
        let mut connection = service.connect().await;
        connection.send(bytes).await;
        connection.finish_sending().await;
        if let Some(response) = connection.try_receive(false).await {
            assert!((400..500).contains(&response.status), "{bytes:?}: {response:?}");
        }
        assert_eq!(service.get("/").await.status, 200);
    }
}

async fn a_head_that_is_too_large_is_refused(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &[]);
    for head in [
        format!("GET /rates?x={} HTTP/1.1\r\nHost: a\r\n\r\n", "y".repeat(100_000)),
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n",
            "y".repeat(100_000)
        ),
    ] {
        let mut connection = service.connect().await;
        connection.send(head).await;
        let response = connection.receive(false).await;
        assert!([414, 431].contains(&response.status), "{response:?}");
    }
    let mut connection = service.connect().await;
    assert_eq!(
        connection
            .get(&format!("/?x={}", "y".repeat(20_000)))
            .await
            .status,
        200
    );
}

async fn pipelined_requests_are_answered_in_order(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    let mut connection = service.connect().await;
    let targets = [EXAMPLE, "/", "/nowhere", EXAMPLE];
    connection
        .send(targets.map(|target| head("GET", target)).concat())
        .await;
    let mut statuses = Vec::new();
    for _ in targets {
        statuses.push(connection.receive(false).await.status);
    }
    assert_eq!(statuses, [200, 200, 404, 200]);
}

async fn a_client_that_ends_its_side_after_the_request_is_answered(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    let mut connection = service.connect().await;
    connection.send(head("GET", EXAMPLE)).await;
    connection.finish_sending().await;
    assert_eq!(connection.receive(false).await.status, 200);
    connection.ended().await;
}

async fn http_2_with_prior_knowledge_is_served(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &[]).await;
    let stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let mut responses = Vec::new();
    for target in [EXAMPLE, "/", "/rates"] {
        let request = http::Request::get(format!("http://test{target}"))
            .body(())
            .unwrap();
        responses.push(client.send_request(request, true).unwrap().0);
    }
    let mut statuses = Vec::new();
    for response in responses {
        let response = response.await.unwrap();
        statuses.push(response.status().as_u16());
        let mut body = response.into_body();
        let first: Bytes = body.data().await.unwrap().unwrap();
        assert!(first.starts_with(b"{"));
    }
    assert_eq!(statuses, [200, 200, 400]);
    driver.abort();
}
