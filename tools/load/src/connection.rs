//! One connection, opened by hand: no pool, and nothing that sends a request again.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, Request};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::failure::Failure;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// With prior knowledge.
    Http2,
}

pub enum Connection {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// A whole response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub location: Option<String>,
    pub body: Bytes,
    /// The server said that the connection ends with it.
    pub last: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Lost {
    /// The connection had ended before a byte of the request was written: it is not sent twice on another.
    Unsent,
    Failed(Failure),
}

impl Connection {
    pub async fn open(target: SocketAddr, protocol: Protocol) -> Result<Self, Failure> {
        let stream = TcpStream::connect(target)
            .await
            .map_err(|error| Failure::of_io(&error))?;
        stream.set_nodelay(true).map_err(|error| Failure::of_io(&error))?;
        let stream = TokioIo::new(stream);
        let failed = |error| Failure::of_hyper(&error);
        // A connection's end is seen by whoever sends on it.
        match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await.map_err(failed)?;
                tokio::spawn(connection);
                Ok(Self::Http1(sender))
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
                    .await
                    .map_err(failed)?;
                tokio::spawn(connection);
                Ok(Self::Http2(sender))
            }
        }
    }

    /// Whether it takes a request, as far as is known here.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Http1(sender) => !sender.is_closed(),
            Self::Http2(sender) => !sender.is_closed(),
        }
    }

    /// A second handle of the same connection, where it carries several requests at once.
    pub fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }

    /// One request and the whole of its answer.
    pub async fn exchange(&mut self, request: Request<Body>) -> Result<Answer, Lost> {
        let sent = match self {
            Self::Http1(sender) => {
                if sender.ready().await.is_err() {
                    return Err(Lost::Unsent);
                }
                sender.try_send_request(request).await
            }
            Self::Http2(sender) => {
                if sender.ready().await.is_err() {
                    return Err(Lost::Unsent);
                }
                sender.try_send_request(request).await
            }
        };
        let (head, body) = sent.map_err(|error| lost(&error))?.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| Lost::Failed(Failure::of_hyper(&error)))?;
        let last = text(&head.headers, &CONNECTION).is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Answer {
            status: head.status.as_u16(),
            content_type: text(&head.headers, &CONTENT_TYPE).unwrap_or_default(),
            location: text(&head.headers, &LOCATION),
            body: body.to_bytes(),
            last,
        })
    }
}

fn lost(error: &TrySendError<Request<Body>>) -> Lost {
    if error.message().is_some() {
        Lost::Unsent
    } else {
        Lost::Failed(Failure::of_hyper(error.error()))
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
