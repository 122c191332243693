//! Connections that are idle end after `--idle-timeout-seconds`, whatever they were begun as and on whichever port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use h2::client::{self, Connection, SendRequest};
use h2::{Ping, RecvStream};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::support::http::{self, rates};
use crate::support::postgres::Postgres;
use crate::support::program::Service;
use crate::support::{SOON, tests};

tests![
    a_connection_that_sends_no_whole_request_ends,
    a_connection_of_http_2_ends_when_it_has_no_stream,
    ping_alone_keeps_no_connection,
    a_stream_that_is_not_read_keeps_no_connection,
    an_answer_that_is_read_slowly_is_sent_to_its_end,
    a_request_that_is_not_answered_yet_keeps_its_connection,
];

const SHORT: [&str; 2] = ["--idle-timeout-seconds", "0.3"];

/// What HTTP/2 begins with: the preface, and SETTINGS without a setting.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

type Client = (SendRequest<Bytes>, Connection<TcpStream, Bytes>);

async fn http_2(address: SocketAddr, window: u32) -> Client {
    let stream = TcpStream::connect(address).await.unwrap();
    client::Builder::new()
        .initial_window_size(window)
        .handshake(stream)
        .await
        .unwrap()
}

/// The content of the answer to a read, none of it read yet.
async fn content(client: SendRequest<Bytes>, address: SocketAddr, target: &str) -> (u16, RecvStream) {
    let request = ::http::Request::get(format!("http://{address}{target}"))
        .body(())
        .unwrap();
    let mut client = client.ready().await.unwrap();
    let (head, content) = client
        .send_request(request, true)
        .unwrap()
        .0
        .await
        .unwrap()
        .into_parts();
    (head.status.as_u16(), content)
}

async fn a_connection_that_sends_no_whole_request_ends(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &SHORT);
    for address in [service.address, service.metrics] {
        for bytes in [
            &b""[..],
            b"G",
            b"GET / HTTP/1.1\r\nHost:",
            b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT",
            b"PRI * HT",
            &PREFACE[..30],
            PREFACE,
            // And half a frame, of HEADERS.
            &[PREFACE, b"\0\0\x20\x01\x05\0\0\0\x01\x82"].concat(),
        ] {
            let mut connection = http::Connection::open(address).await;
            connection.send(bytes).await;
            connection.gone().await;
        }
    }
}

async fn a_connection_of_http_2_ends_when_it_has_no_stream(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &SHORT);
    for (address, target) in [(service.address, "/"), (service.metrics, "/metrics")] {
        let (client, connection) = http_2(address, 65_535).await;
        let connection = tokio::spawn(connection);
        let (status, mut content) = content(client.clone(), address, target).await;
        assert_eq!(status, 200);
        while let Some(piece) = content.data().await {
            piece.unwrap();
        }
        let end = timeout(SOON, connection).await.expect("it goes on").unwrap();
        assert!(end.is_ok(), "the client was not told: {end:?}");
    }
}

async fn ping_alone_keeps_no_connection(postgres: Arc<Postgres>) {
    let service = Service::start(&postgres.uri(&postgres.empty().await), &SHORT);
    let (_client, mut connection) = http_2(service.address, 65_535).await;
    let mut pings = connection.ping_pong().unwrap();
    let connection = tokio::spawn(connection);
    let pinging = async { while pings.ping(Ping::opaque()).await.is_ok() {} };
    timeout(SOON, pinging).await.expect("it goes on");
    let _ = timeout(SOON, connection).await.expect("it goes on");
}

/// Some 200 KB.
fn large() -> String {
    rates("2012-01-01", "2021-12-31", "CNGGZ", "EETLL")
}

async fn a_stream_that_is_not_read_keeps_no_connection(postgres: Arc<Postgres>) {
    let service = Service::ready(&postgres.uri(&postgres.seeded().await), &SHORT).await;
    for window in [0, 65_535] {
        let (client, connection) = http_2(service.address, window).await;
        let connection = tokio::spawn(connection);
        let (status, _content) = content(client, service.address, &large()).await;
        assert_eq!(status, 200);
        let _ = timeout(SOON, connection).await.expect("it goes on");
    }
}

async fn an_answer_that_is_read_slowly_is_sent_to_its_end(postgres: Arc<Postgres>) {
    let idle = Duration::from_secs(2);
    let service = Service::ready(
        &postgres.uri(&postgres.seeded().await),
        &["--idle-timeout-seconds", "2"],
    )
    .await;
    let (client, connection) = http_2(service.address, 20_000).await;
    let _connection = tokio::spawn(connection);
    let (status, mut content) = content(client, service.address, &large()).await;
    assert_eq!(status, 200);
    let mut length = 0;
    while let Some(piece) = content.data().await {
        let read = piece.expect("it was cut off").len();
        length += read;
        content.flow_control().release_capacity(read).unwrap();
        // The pace of the client: in all, longer than it may be idle.
        sleep(idle * u32::try_from(read).unwrap() / 100_000).await;
    }
    assert_eq!(length, service.get(&large()).await.body.len());
}

async fn a_request_that_is_not_answered_yet_keeps_its_connection(_: Arc<Postgres>) {
    let settings = [&SHORT[..], &["--request-timeout-seconds", "2"]].concat();
    let service = Service::start("postgres://nobody@127.0.0.1:9/none", &settings);
    assert_eq!(service.get(&large()).await.status, 503);
    let (client, connection) = http_2(service.address, 65_535).await;
    let _connection = tokio::spawn(connection);
    let (status, _) = content(client, service.address, &large()).await;
    assert_eq!(status, 503);
}
