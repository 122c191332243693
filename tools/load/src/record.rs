//! What became of each request, and what is said of many.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::failure::{Failure, Kind};

/// On what kind of connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Lane {
    /// A kept HTTP/1.1 connection with little rest.
    Busy,
    /// A kept HTTP/1.1 connection that rests for seconds.
    Seldom,
    /// A connection for this request alone.
    Fresh,
    /// The HTTP/2 connection.
    Http2,
    /// A batch, on a connection of its own.
    Batch,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong(String),
    Failed(Failure),
}

#[derive(Clone, Debug)]
pub struct Record {
    pub lane: Lane,
    /// Since the load began.
    pub due: Duration,
    /// From when it was due until its answer was whole.
    pub took: Duration,
    pub verdict: Verdict,
}

/// A part of the load's time; a request belongs to the phase in which it was due.
#[derive(Clone, Debug)]
pub struct Phase {
    pub name: String,
    pub from: Duration,
    pub to: Duration,
}

/// What is said of a phase. Times are of reads, in milliseconds; a batch takes as long as its content.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    pub requests: usize,
    pub batches: usize,
    pub failed: usize,
    pub failed_batches: usize,
    pub wrong: usize,
    pub kinds: BTreeMap<String, usize>,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    /// The first of them, each with its time and lane.
    pub examples: Vec<String>,
}

const EXAMPLES: usize = 20;
/// Characters of each one's text.
const EXAMPLE: usize = 600;

impl Summary {
    pub fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut summary = Self::default();
        let mut times = Vec::new();
        for record in records {
            let batch = record.lane == Lane::Batch;
            summary.requests += 1;
            summary.batches += usize::from(batch);
            if !batch {
                times.push(record.took);
            }
            let text = match &record.verdict {
                Verdict::Right => continue,
                Verdict::Wrong(text) => {
                    summary.wrong += 1;
                    text
                }
                Verdict::Failed(failure) => {
                    if batch {
                        summary.failed_batches += 1;
                    } else {
                        summary.failed += 1;
                    }
                    *summary.kinds.entry(name(failure.kind)).or_default() += 1;
                    &failure.text
                }
            };
            if summary.examples.len() < EXAMPLES {
                let text: String = text.chars().take(EXAMPLE).collect();
                let (due, took) = (record.due.as_secs_f64(), record.took.as_secs_f64());
                summary.examples.push(format!(
                    "at {due:.3} s, {:?}, after {took:.3} s: {text}",
                    record.lane
                ));
            }
        }
        times.sort_unstable();
        let at = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times
                .get(rank - 1)
                .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        (summary.p50, summary.p99, summary.max) = (at(50), at(99), at(100));
        summary
    }
}

fn name(kind: Kind) -> String {
    match kind {
        Kind::Status(status) => status.to_string(),
        kind => format!("{kind:?}").to_lowercase(),
    }
}

impl Phase {
    #[must_use]
    pub fn holds(&self, record: &Record) -> bool {
        self.from <= record.due && record.due < self.to
    }

    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.to.saturating_sub(self.from).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_by_kind_and_measures_reads_alone() {
        let record = |lane, took, verdict| Record {
            lane,
            due: Duration::ZERO,
            took: Duration::from_millis(took),
            verdict,
        };
        let cut = || {
            Verdict::Failed(Failure {
                kind: Kind::Cut,
                text: "cut".to_owned(),
            })
        };
        let records = [
            record(Lane::Busy, 1, Verdict::Right),
            record(Lane::Fresh, 3, cut()),
            record(Lane::Http2, 2, Verdict::Wrong("no".to_owned())),
            record(Lane::Batch, 9000, cut()),
        ];
        let summary = Summary::of(records.iter());
        assert_eq!((summary.requests, summary.batches), (4, 1));
        assert_eq!((summary.failed, summary.failed_batches, summary.wrong), (1, 1, 1));
        assert_eq!(summary.kinds, BTreeMap::from([("cut".to_owned(), 2)]));
        assert!((summary.max - 3.0).abs() < 1e-9, "{}", summary.max);
        assert_eq!(summary.examples.len(), 3);
    }
}
