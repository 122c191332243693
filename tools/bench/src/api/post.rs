//! A batch as a client sends it, from a file that the kernel sends by itself.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::format::Body;
use super::service::TOKEN;

const PATIENCE: Duration = Duration::from_mins(5);

/// When a batch was under way.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub began: Instant,
    pub ended: Instant,
}

impl Sent {
    pub fn seconds(self) -> f64 {
        self.ended.duration_since(self.began).as_secs_f64()
    }
}

/// What the service says of a batch that it has applied.
#[derive(Deserialize)]
struct Applied {
    status: String,
    rows: u64,
}

/// Sends a batch on a thread of its own, and waits until it is applied.
pub async fn post(address: SocketAddr, body: &Body, rows: u32) -> Result<Sent> {
    let file = File::open(&body.path).with_context(|| format!("cannot open {}", body.path.display()))?;
    let kind = body.format.content_type();
    tokio::task::spawn_blocking(move || send(address, file, kind, rows))
        .await
        .context("the batch's thread ended unexpectedly")?
}

fn send(address: SocketAddr, mut file: File, kind: &str, rows: u32) -> Result<Sent> {
    let length = file.metadata().context("cannot ask for a body's length")?.len();
    let head = format!(
        "POST /batches HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .context("cannot limit the time of a batch")?;
    // Between a file and a socket this is `sendfile`: the bytes do not come through here.
    let sent = stream
        .write_all(head.as_bytes())
        .and_then(|()| io::copy(&mut file, &mut stream));
    let mut answer = Vec::new();
    let received = stream.read_to_end(&mut answer);
    let ended = Instant::now();
    // A refusal may come, and the connection end, before all was sent: what was said is what counts.
    if answer.is_empty() {
        sent.context("cannot send a batch")?;
    }
    received.context("cannot read the answer to a batch")?;
    let answer = String::from_utf8_lossy(&answer);
    let applied = applied(&answer)?;
    if applied.status != "applied" || applied.rows != u64::from(rows) {
        bail!(
            "of a batch of {rows} rows, {} are {}",
            applied.rows,
            applied.status
        );
    }
    Ok(Sent { began, ended })
}

fn applied(answer: &str) -> Result<Applied> {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the answer to a batch has no end")?;
    if !head.starts_with("HTTP/1.1 201 ") {
        bail!(
            "the answer to a batch is {}: {body}",
            head.lines().next().unwrap_or_default()
        );
    }
    serde_json::from_str(body).with_context(|| format!("the answer to a batch is not as expected: {body}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_applied_batch_says_its_rows() {
        let answer = "HTTP/1.1 201 Created\r\ncontent-length: 99\r\n\r\n\
            {\"id\":\"1\",\"status\":\"applied\",\"rows\":50000,\"checksum\":\"c\",\"appliedAt\":\"t\"}";
        let applied = applied(answer).unwrap();
        assert_eq!((applied.status.as_str(), applied.rows), ("applied", 50_000));
    }

    #[test]
    fn a_refusal_is_an_error_with_what_was_said() {
        let error = applied("HTTP/1.1 422 Unprocessable Content\r\n\r\n{\"detail\":\"no\"}")
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("422") && error.contains("\"no\""), "{error}");
    }
}
