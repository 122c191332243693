//! Forwards a request to an API that is ready: once, with its body as it comes.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use http::header::{CONNECTION, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(1);
/// How long the API may take to say that it is ready.
const READINESS: Duration = Duration::from_secs(2);
/// Between two looks at APIs of which none was ready.
const AGAIN: Duration = Duration::from_millis(50);

/// What HTTP says of one connection and not of the request (RFC 9110, section 7.6.1).
const OF_THE_CONNECTION: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A connection over which nothing was sent yet, to an API that said a moment ago that it is ready. None by the deadline.
pub async fn connect(endpoints: &[SocketAddr], deadline: Instant) -> Option<SendRequest<Incoming>> {
    loop {
        for endpoint in endpoints {
            if is_ready(*endpoint).await
                && let Some(connection) = open(*endpoint).await
            {
                return Some(connection);
            }
        }
        if Instant::now() + AGAIN > deadline {
            return None;
        }
        sleep(AGAIN).await;
    }
}

/// Sends the request. Whatever goes wrong from here on, it is not sent again: it may have taken effect.
pub async fn send(
    mut connection: SendRequest<Incoming>,
    request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    let response = connection.send_request(outgoing(request)).await?;
    let (mut head, body) = response.into_parts();
    remove_of_the_connection(&mut head.headers);
    head.version = Version::HTTP_11;
    Ok(Response::from_parts(head, Body::new(body)))
}

async fn is_ready(endpoint: SocketAddr) -> bool {
    let asked = async {
        let mut connection = open::<http_body_util::Empty<&[u8]>>(endpoint).await?;
        let request = Request::get("/readyz").header(HOST, endpoint.to_string());
        let request = request.body(http_body_util::Empty::new()).ok()?;
        let response = connection.send_request(request).await.ok()?;
        (response.status() == StatusCode::OK).then_some(())
    };
    matches!(timeout(READINESS, asked).await, Ok(Some(())))
}

async fn open<B>(endpoint: SocketAddr) -> Option<SendRequest<B>>
where
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = timeout(CONNECT, TcpStream::connect(endpoint)).await.ok()?.ok()?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    // It ends with the response, or with the one who waits for it.
    tokio::spawn(connection);
    Some(sender)
}

/// The request as it is sent on: the same but for what belongs to the connection that it came by.
fn outgoing(request: Request<Incoming>) -> Request<Incoming> {
    let (mut head, body) = request.into_parts();
    remove_of_the_connection(&mut head.headers);
    // The body is asked for in any case, which tells the client to go on.
    head.headers.remove(EXPECT);
    if !head.headers.contains_key(HOST)
        && let Some(host) = head
            .uri
            .authority()
            .and_then(|host| HeaderValue::from_str(host.as_str()).ok())
    {
        head.headers.insert(HOST, host);
    }
    let path = head.uri.path_and_query().cloned();
    head.uri = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    head.version = Version::HTTP_11;
    Request::from_parts(head, body)
}

fn remove_of_the_connection(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_THE_CONNECTION) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_connection_stays_with_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("authorization", "Bearer a"),
            ("idempotency-key", "k"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        remove_of_the_connection(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["authorization", "idempotency-key"]);
    }
}
