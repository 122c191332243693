//! Asks a pod of the API for how long it was not in use.

use std::net::IpAddr;
use std::time::Duration;

use http::header::HOST;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// Where the API gives its metrics.
const PORT: u16 = 9090;
const METRIC: &str = "rates_idle_seconds";
/// For all of it.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than all metrics of a pod.
const LONGEST: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it does not answer within {} s", PATIENCE.as_secs())]
    Slow,
    #[error("port {PORT} cannot be reached")]
    Connect(#[source] std::io::Error),
    #[error("port {PORT} does not answer")]
    Http(#[source] hyper::Error),
    #[error("port {PORT} does not answer with metrics")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("its metrics have no {METRIC}: its image is older than spec.lifetime.sleepAfter")]
    NoMetric,
}

/// For how long the pod at an address was not in use.
pub async fn idle(address: IpAddr) -> Result<Duration, Error> {
    timeout(PATIENCE, ask(address)).await.unwrap_or(Err(Error::Slow))
}

async fn ask(address: IpAddr) -> Result<Duration, Error> {
    let stream = TcpStream::connect((address, PORT))
        .await
        .map_err(Error::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(Error::Http)?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = http::Request::get("/metrics")
        .header(HOST, "metrics")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Error::Body(error.into()))?;
    let response = sender.send_request(request).await.map_err(Error::Http)?;
    let body = Limited::new(response.into_body(), LONGEST);
    let body = body.collect().await.map_err(Error::Body)?.to_bytes();
    parse(&String::from_utf8_lossy(&body)).ok_or(Error::NoMetric)
}

fn parse(metrics: &str) -> Option<Duration> {
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(METRIC)?.strip_prefix(' '))?;
    let seconds: f64 = value.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metric_is_read_among_others_and_nothing_else_is() {
        let text = "# TYPE rates_idle_seconds gauge\nrates_idle_seconds 90.25\nrates_ready 1\n# EOF\n";
        assert_eq!(parse(text), Some(Duration::from_millis(90_250)));
        for other in [
            "",
            "rates_idle_seconds NaN",
            "rates_idle_seconds -1",
            "rates_idle_seconds_x 1",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
