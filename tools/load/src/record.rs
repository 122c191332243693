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
    Wrong(Wrong),
    Failed(Failure),
}

/// An answer that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub kind: WrongKind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongKind {
    /// It misses what was acknowledged before it was asked for.
    Stale,
    /// It shows a part of a batch.
    Partial,
    Other,
}

impl Wrong {
    pub(super) fn other(text: String) -> Self {
        Self {
            kind: WrongKind::Other,
            text,
        }
    }
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
    /// Of the wrong ones.
    pub stale: usize,
    pub partial: usize,
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
                Verdict::Wrong(wrong) => {
                    summary.wrong += 1;
                    summary.stale += usize::from(wrong.kind == WrongKind::Stale);
                    summary.partial += usize::from(wrong.kind == WrongKind::Partial);
                    &wrong.text
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

/// The longest time in a phase in which nothing that is chosen was answered rightly.
#[must_use]
pub fn longest_gap(records: &[Record], phase: &Phase, chosen: impl Fn(Lane) -> bool) -> Duration {
    let right = records
        .iter()
        .filter(|record| chosen(record.lane) && record.verdict == Verdict::Right);
    let mut times: Vec<_> = right
        .map(|record| record.due + record.took)
        .filter(|answered| phase.from <= *answered && *answered < phase.to)
        .collect();
    times.push(phase.to);
    times.sort_unstable();
    let before = std::iter::once(phase.from).chain(times.iter().copied());
    let gaps = before
        .zip(&times)
        .map(|(before, after)| after.saturating_sub(before));
    gaps.max().unwrap_or_default()
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
    fn the_longest_gap_is_between_right_answers_of_the_chosen_lanes_and_the_ends() {
        let answered = |seconds, lane, verdict| Record {
            lane,
            due: Duration::from_secs(seconds),
            took: Duration::from_secs(1),
            verdict,
        };
        let failed = Verdict::Failed(Failure::timed_out(1));
        let records = [
            answered(10, Lane::Batch, Verdict::Right),
            answered(12, Lane::Busy, Verdict::Right),
            answered(14, Lane::Batch, failed),
            answered(16, Lane::Batch, Verdict::Right),
        ];
        let phase = |from, to| Phase {
            name: String::new(),
            from: Duration::from_secs(from),
            to: Duration::from_secs(to),
        };
        let gap = |from, to| longest_gap(&records, &phase(from, to), |lane| lane == Lane::Batch).as_secs();
        assert_eq!([gap(10, 20), gap(10, 40), gap(2, 20), gap(30, 35)], [6, 23, 9, 5]);
    }

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
            record(Lane::Http2, 2, Verdict::Wrong(Wrong::other("no".to_owned()))),
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
