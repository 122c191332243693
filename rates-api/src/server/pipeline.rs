//! How far a client has got with the requests of an HTTP/1 connection.
//!
//! Where a connection is to end, the answer that says so has to be the last that is needed: whatever the client has
//! sent behind its request would be lost. So the bytes that come in are followed here, just closely enough to know
//! where a request begins. What cannot be followed counts as nothing that waits, which is how it was without this.

use std::io;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// A connection's stream, shared by who moves its bytes and who has to know whether more are there.
#[derive(Clone)]
pub struct Wire(Arc<Mutex<Inner>>);

pub struct Inner {
    pub stream: TcpStream,
    requests: Requests,
    /// The client takes no more at the moment.
    blocked: bool,
    /// When a client that took no more last took something again.
    went_on: Option<Instant>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            stream,
            requests: Requests::default(),
            blocked: false,
            went_on: None,
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a client that reads more slowly than it is answered last took something, if it is one. Over HTTP/2 that says
    /// nothing of its requests.
    pub fn went_on(&self) -> Option<Instant> {
        let inner = self.lock();
        inner.went_on.filter(|_| inner.requests.at != At::Lost)
    }

    /// A request was handed to its handler.
    pub fn handed_on(&self) {
        self.lock().requests.handed_on += 1;
    }

    /// Whether the client has begun a request that no handler has been given.
    pub fn more_waits(&self) -> bool {
        let inner = self.lock();
        match inner.requests.at {
            At::Lost => false,
            At::Between if inner.requests.begun == inner.requests.handed_on => has_bytes(&inner.stream),
            _ => inner.requests.begun > inner.requests.handed_on,
        }
    }
}

impl Inner {
    /// Follows what was written. Only where the client is slow time is asked for.
    pub fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        if self.blocked && written.is_ready() {
            self.went_on = Some(Instant::now());
        }
        self.blocked = written.is_pending();
    }

    /// Follows what was read.
    pub fn read(&mut self, bytes: &[u8]) {
        self.requests.follow(bytes);
    }
}

/// Whether the kernel has bytes that were not read yet. Not blocking, as the socket is not.
fn has_bytes(stream: &TcpStream) -> bool {
    let mut space = [MaybeUninit::uninit(); 1];
    match SockRef::from(stream).peek(&mut space) {
        Ok(length) => length > 0,
        Err(error) => error.kind() == io::ErrorKind::Interrupted,
    }
}

/// Requests as the bytes say.
#[derive(Debug, Default)]
struct Requests {
    begun: u64,
    handed_on: u64,
    at: At,
    /// The beginning of a line that is not complete yet.
    line: Vec<u8>,
    /// What the head says of the body.
    body: Body,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Between,
    RequestLine,
    Fields,
    /// So many bytes of content, and what comes after them.
    Content(u64, After),
    ChunkSize,
    Trailers,
    /// HTTP/2, or something that hyper refuses.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    NextRequest,
    NextChunk,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Body {
    #[default]
    None,
    Length(u64),
    Chunked,
}

/// As much of a line is kept as is needed to know the fields that matter.
const LINE: usize = 128;

impl Requests {
    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.at {
                At::Lost => return,
                At::Between => match bytes.iter().position(|byte| !b"\r\n".contains(byte)) {
                    Some(start) => {
                        self.begun += 1;
                        self.at = At::RequestLine;
                        self.body = Body::None;
                        bytes = &bytes[start..];
                    }
                    None => return,
                },
                At::Content(left, after) => {
                    let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    bytes = &bytes[here..];
                    self.at = match (left - here as u64, after) {
                        (0, After::NextRequest) => At::Between,
                        (0, After::NextChunk) => At::ChunkSize,
                        (left, after) => At::Content(left, after),
                    };
                }
                At::RequestLine | At::Fields | At::ChunkSize | At::Trailers => {
                    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                        self.keep(bytes);
                        return;
                    };
                    let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
                    bytes = rest;
                    if self.line.is_empty() {
                        self.line_ends(line);
                    } else {
                        self.keep(line);
                        let line = std::mem::take(&mut self.line);
                        self.line_ends(&line);
                    }
                }
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE.saturating_sub(self.line.len()).min(bytes.len());
        self.line.extend_from_slice(&bytes[..room]);
    }

    fn line_ends(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.at = match self.at {
            At::RequestLine if line.starts_with(b"PRI * HTTP/2") => At::Lost,
            At::RequestLine => At::Fields,
            At::Fields if line.is_empty() => match self.body {
                Body::None | Body::Length(0) => At::Between,
                Body::Length(length) => At::Content(length, After::NextRequest),
                Body::Chunked => At::ChunkSize,
            },
            At::Fields => {
                self.body = field(line).unwrap_or(self.body);
                At::Fields
            }
            At::ChunkSize => match chunk_size(line) {
                Some(0) => At::Trailers,
                // And the end of its line.
                Some(size) => size
                    .checked_add(2)
                    .map_or(At::Lost, |size| At::Content(size, After::NextChunk)),
                None => At::Lost,
            },
            At::Trailers if line.is_empty() => At::Between,
            at => at,
        };
    }
}

/// What a field says of the body, if it does.
fn field(line: &[u8]) -> Option<Body> {
    // Most fields are none of the two.
    if !matches!(line.first()?, b'c' | b'C' | b't' | b'T') {
        return None;
    }
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    if name.eq_ignore_ascii_case("content-length") {
        value.trim().parse().ok().map(Body::Length)
    } else if name.eq_ignore_ascii_case("transfer-encoding") {
        Some(Body::Chunked)
    } else {
        None
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let digits = text.split(';').next()?.trim();
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests of every kind of body, and where the last one is after each byte.
    #[test]
    fn requests_are_counted_however_their_bytes_come() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n\
                    POST /a HTTP/1.1\r\ncontent-LENGTH: 12\r\n\r\nGET / HTTP/1\
                    POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nGET /\r\nA\r\n\r\nGET /\r\n\n\r\n0\r\nT: x\r\n\r\n\
                    \r\nHEAD / HTTP/1.1\nHost: b\n\n";
        for size in 1..text.len() {
            let mut requests = Requests::default();
            for piece in text.as_bytes().chunks(size) {
                requests.follow(piece);
            }
            assert_eq!(
                (requests.begun, requests.at),
                (4, At::Between),
                "pieces of {size}"
            );
            requests.follow(b"G");
            assert_eq!((requests.begun, requests.at), (5, At::RequestLine));
        }
    }

    #[test]
    fn what_cannot_be_followed_is_not_followed() {
        for text in [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            let mut requests = Requests::default();
            requests.follow(text.as_bytes());
            assert_eq!(requests.at, At::Lost, "{text}");
        }
    }

    #[test]
    fn a_long_line_is_not_kept() {
        let mut requests = Requests::default();
        requests.follow(b"GET / HTTP/1.1\r\nCookie: ");
        for _ in 0..1000 {
            requests.follow(b"0123456789");
        }
        assert!(requests.line.len() <= LINE);
        requests.follow(b"\r\n\r\n");
        assert_eq!((requests.begun, requests.at), (1, At::Between));
    }
}
