//! An HTTP/1.1 client of bytes: it sends what it is told to and sees what came, connection's end included.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The detail of a problem document, which this has to be.
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let json = self.json();
        assert_eq!(json["status"], self.status, "{json}");
        assert!(json["title"].is_string() && json["type"].is_string(), "{json}");
        json["detail"].as_str().unwrap().to_owned()
    }
}

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        Self::try_open(address).await.unwrap()
    }

    pub async fn try_open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            stream: TcpStream::connect(address).await?,
            buffer: Vec::new(),
        })
    }

    /// As `get`, where the connection may be refused or reset.
    pub async fn try_get(&mut self, target: &str) -> io::Result<Response> {
        self.stream.write_all(head("GET", target).as_bytes()).await?;
        self.read_response(false)
            .await?
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    pub async fn get(&mut self, target: &str) -> Response {
        self.request("GET", target).await
    }

    pub async fn request(&mut self, method: &str, target: &str) -> Response {
        self.send(&head(method, target)).await;
        self.receive(method == "HEAD").await
    }

    /// A read, unless its answer has one of these entity tags.
    pub async fn get_unless(&mut self, target: &str, tags: &str) -> Response {
        self.request_unless("GET", target, tags).await
    }

    /// As `get_unless`, with GET or HEAD.
    pub async fn request_unless(&mut self, method: &str, target: &str, tags: &str) -> Response {
        self.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: test\r\nIf-None-Match: {tags}\r\n\r\n"
        ))
        .await;
        self.receive(method == "HEAD").await
    }

    /// A request with headers, each `Name: value`, and a body.
    pub async fn post(&mut self, target: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Response {
        self.send_post(target, headers, body).await;
        self.receive(false).await
    }

    /// As `post`, where the connection may be refused or reset.
    pub async fn try_post(
        &mut self,
        target: &str,
        headers: &[&str],
        body: impl AsRef<[u8]>,
    ) -> io::Result<Response> {
        self.send_post(target, headers, body).await;
        self.read_response(false)
            .await?
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// As `post`, without waiting for the response.
    pub async fn send_post(&mut self, target: &str, headers: &[&str], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut text = format!(
            "POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n",
            body.len()
        );
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        // A refusal may come, and the connection end, before all of it is sent.
        let _ = self.stream.write_all(&[text.as_bytes(), body].concat()).await;
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// As `send`, where the connection may have ended; with `end`, no more will be sent.
    pub async fn try_send(&mut self, bytes: &[u8], end: bool) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        if end {
            self.stream.shutdown().await?;
        }
        Ok(())
    }

    /// The next response, where the connection may end or be reset.
    pub async fn receive_any(&mut self, without_body: bool) -> io::Result<Option<Response>> {
        self.read_response(without_body).await
    }

    /// Says that no more will be sent.
    pub async fn finish_sending(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next response.
    pub async fn receive(&mut self, without_body: bool) -> Response {
        self.try_receive(without_body)
            .await
            .expect("the connection ended before a response")
    }

    /// The next response; none if the connection ended in order before one began.
    pub async fn try_receive(&mut self, without_body: bool) -> Option<Response> {
        self.read_response(without_body).await.unwrap()
    }

    async fn read_response(&mut self, without_body: bool) -> io::Result<Option<Response>> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if !self.fill().await? {
                assert!(
                    self.buffer.is_empty(),
                    "half a response: {:?}",
                    String::from_utf8_lossy(&self.buffer)
                );
                return Ok(None);
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: BTreeMap<String, String> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers
            .get("content-length")
            .map_or(0, |length| length.parse().unwrap());
        // What has no content may say how long it would be.
        let length = if without_body || status == 304 { 0 } else { length };
        while self.buffer.len() < length {
            assert!(self.fill().await?, "the connection ended within a body");
        }
        Ok(Some(Response {
            status,
            headers,
            body: self.buffer.drain(..length).collect(),
        }))
    }

    /// Waits for the end of the connection; it has to be an orderly one, without further bytes.
    pub async fn ended(mut self) {
        assert!(
            !self.fill().await.unwrap() && self.buffer.is_empty(),
            "{:?}",
            String::from_utf8_lossy(&self.buffer)
        );
    }

    /// Waits for the end of the connection, in whatever way.
    pub async fn gone(mut self) {
        let mut space = [0; 4096];
        while let Ok(1..) = timeout(PATIENCE, self.stream.read(&mut space))
            .await
            .expect("the connection goes on")
        {}
    }

    /// Reads some bytes; false at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        Ok(timeout(PATIENCE, self.stream.read_buf(&mut self.buffer))
            .await
            .expect("no bytes came")?
            > 0)
    }
}

pub fn head(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// A target of `GET /rates`.
pub fn rates(first: &str, last: &str, origin: &str, destination: &str) -> String {
    format!("/rates?date_from={first}&date_to={last}&orig_code={origin}&dest_code={destination}")
}

/// One that the bundled seed has prices for.
pub const EXAMPLE: &str = "/rates?date_from=2021-01-01&date_to=2021-01-31&orig_code=CNGGZ&dest_code=EETLL";
