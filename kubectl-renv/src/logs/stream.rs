//! The log of one container, line by line.

use futures::io::AsyncBufReadExt as _;
use futures::{StreamExt as _, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use tokio::sync::mpsc::UnboundedSender;

use super::arguments::Logs;
use crate::cluster::Cluster;
use crate::redact::redact;

/// A container of a pod, since its last start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub pod: String,
    pub container: String,
    pub uid: String,
    pub restarts: i32,
}

/// A line of a log.
#[derive(Clone, Debug)]
pub struct Line {
    /// As the kubelet wrote it, which sorts as a text: UTC, with nanoseconds.
    pub at: String,
    pub source: String,
    pub text: String,
}

impl Line {
    fn of(source: &Source, raw: &str) -> Self {
        let (at, text) = raw.split_once(' ').unwrap_or(("", raw));
        // The kubelet leaves zeros out at the end.
        let at = at.strip_suffix('Z').map_or_else(String::new, |at| {
            let (seconds, fraction) = at.split_once('.').unwrap_or((at, ""));
            format!("{seconds}.{fraction:0<9}Z")
        });
        Self {
            at,
            source: format!("{}/{}", source.pod, source.container),
            text: redact(text),
        }
    }

    #[must_use]
    pub fn printed(&self, timestamps: bool) -> String {
        if timestamps {
            format!("{} {} {}\n", self.at, self.source, self.text)
        } else {
            format!("{} {}\n", self.source, self.text)
        }
    }
}

/// Reads until the container's log ends, or was read.
pub async fn read(cluster: Cluster, source: Source, arguments: Logs, lines: UnboundedSender<Line>) {
    let parameters = LogParams {
        container: Some(source.container.clone()),
        follow: arguments.follow,
        previous: arguments.previous,
        since_seconds: arguments
            .since
            .and_then(|since| i64::try_from(since.as_secs()).ok())
            // The API server takes no 0.
            .map(|seconds| seconds.max(1)),
        tail_lines: arguments.tail,
        timestamps: true,
        ..LogParams::default()
    };
    let told = match cluster.api::<Pod>().log_stream(&source.pod, &parameters).await {
        Ok(stream) => {
            let stream = stream.lines();
            pin_mut!(stream);
            let mut broken = None;
            while let Some(line) = stream.next().await {
                match line {
                    Ok(line) if lines.send(Line::of(&source, &line)).is_err() => return,
                    Ok(_) => {}
                    Err(error) => {
                        broken = Some(error.to_string());
                        break;
                    }
                }
            }
            broken
        }
        // Most containers were never restarted.
        Err(kube::Error::Api(_)) if arguments.previous => None,
        Err(error) => Some(format!("{:#}", cluster.explain(error, "read its log"))),
    };
    if let Some(why) = told {
        eprintln!("{}/{}: {why}", source.pod, source.container);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_sort_by_their_time_and_passwords_do_not_pass() {
        let source = Source {
            pod: "x-api-1".to_owned(),
            container: "api".to_owned(),
            uid: String::new(),
            restarts: 0,
        };
        let early = Line::of(&source, "2026-01-01T00:00:01.5Z first");
        let late = Line::of(
            &source,
            "2026-01-01T00:00:01.50000001Z postgresql://rates_a:hunter22@x/rates is away",
        );
        assert!(early.at < late.at);
        assert_eq!(early.printed(false), "x-api-1/api first\n");
        assert_eq!(
            late.printed(true),
            "2026-01-01T00:00:01.500000010Z x-api-1/api postgresql://rates_a:REDACTED@x/rates is away\n"
        );
    }
}
