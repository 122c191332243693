//! A client for reads, made to cost little: what it takes of the processors is missing to what it measures.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::data::{FIRST_DAY, LAST_DAY};

/// A connection that is kept for many requests.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let connect = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok::<_, io::Error>(stream)
        };
        Ok(Self {
            stream: connect
                .await
                .with_context(|| format!("cannot connect to {address}"))?,
            buffer: Vec::with_capacity(64 * 1024),
        })
    }

    /// Sends a request and gives the whole body of its answer, which has to be 200.
    pub async fn get(&mut self, request: &[u8]) -> Result<&[u8]> {
        match self.ask(request).await? {
            (200, body) => Ok(body),
            (status, _) => bail!("the answer to a read is {status}"),
        }
    }

    /// Sends a request and gives the status and the whole body of its answer.
    pub async fn ask(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.buffer.clear();
        self.stream
            .write_all(request)
            .await
            .context("cannot send a request")?;
        loop {
            if let Some((status, start)) = complete(&self.buffer)? {
                return Ok((status, &self.buffer[start..]));
            }
            let read = self.stream.read_buf(&mut self.buffer).await;
            if read.context("cannot read an answer")? == 0 {
                bail!("the connection ended within an answer");
            }
        }
    }
}

/// The status of an answer, and where its body begins, once all of it is there.
fn complete(buffer: &[u8]) -> Result<Option<(u16, usize)>> {
    // An answer is ASCII. What the standard library has compiled is faster than what this program could, which is not
    // optimised much.
    let text = std::str::from_utf8(buffer).context("an answer is no text")?;
    let Some(end) = text.find("\r\n\r\n") else {
        return Ok(None);
    };
    let head = &text[..end];
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok())
        .context("an answer has no status")?;
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .context("an answer has no length")?;
    let start = end + 4;
    match buffer.len() - start {
        there if there < length => Ok(None),
        there if there == length => Ok(Some((status, start))),
        _ => bail!("an answer is longer than it says"),
    }
}

/// `GET` of a path.
pub fn request(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes()
}

/// `GET /rates` of a pair, all days.
pub fn rates(origin: i32, destination: i32) -> Vec<u8> {
    request(&format!(
        "/rates?date_from={FIRST_DAY}&date_to={LAST_DAY}&orig_code={origin}&dest_code={destination}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_when_all_of_its_body_is_there() {
        let whole = b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 4\r\n\r\nbody";
        for length in 0..whole.len() {
            assert_eq!(complete(&whole[..length]).unwrap(), None, "{length}");
        }
        let (status, start) = complete(whole).unwrap().unwrap();
        assert_eq!((status, &whole[start..]), (200, &b"body"[..]));
    }

    #[test]
    fn a_missing_status_a_missing_length_and_more_than_the_body_are_errors() {
        for answer in [
            "HTTP/1.1 \r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
        ] {
            assert!(complete(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
