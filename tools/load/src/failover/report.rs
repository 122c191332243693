//! What a run found, for other programs and for a person.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::play::Play;
use crate::{Log, Summary};

/// One fault, once. Times are in seconds.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Round {
    pub fault: String,
    #[serde(skip)]
    pub from: Duration,
    #[serde(skip)]
    pub to: Duration,
    /// Until the fault had ended.
    pub played: f64,
    /// Until all was whole again; none where that did not happen.
    pub whole: Option<f64>,
    /// The longest time without an acknowledged batch, and without a right answer to a read.
    pub without_write: f64,
    pub without_read: f64,
    pub acknowledged: usize,
    /// Batches that were acknowledged and are not in the database as they were sent.
    pub lost: usize,
    pub differences: Vec<String>,
    pub summary: Summary,
    /// From which primary to which.
    pub moved: String,
    pub notes: Vec<String>,
    pub error: Option<String>,
}

impl Round {
    pub(super) fn new(fault: &str, from: Duration) -> Self {
        Self {
            fault: fault.to_owned(),
            from,
            to: from,
            played: 0.0,
            whole: None,
            without_write: 0.0,
            without_read: 0.0,
            acknowledged: 0,
            lost: 0,
            differences: Vec::new(),
            summary: Summary::default(),
            moved: String::new(),
            notes: Vec::new(),
            error: None,
        }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            failed,
            failed_batches,
            stale,
            partial,
            wrong,
            p99,
            max,
            ..
        } = &self.summary;
        write!(
            formatter,
            "{:<22} writes {:>5.1} s, reads {:>5.2} s, whole {:>6}, {} acknowledged, {} lost, {stale} stale, {partial} \
             partial, {} otherwise wrong, {failed} reads failed, {failed_batches} batches not at once, p99 {p99:.0} ms, \
             longest {:.1} s, {}",
            self.fault,
            self.without_write,
            self.without_read,
            self.whole
                .map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.1} s")),
            self.acknowledged,
            self.lost,
            wrong - stale - partial,
            max / 1000.0,
            self.moved,
        )?;
        self.notes
            .iter()
            .chain(&self.differences)
            .try_for_each(|note| write!(formatter, "\n  {note}"))?;
        if *failed + *wrong > 0 {
            let kinds = &self.summary.kinds;
            write!(formatter, "\n  {kinds:?} {:?}", self.summary.examples.first())?;
        }
        match &self.error {
            Some(error) => write!(formatter, "\n  NOT AS IT HAS TO BE: {error}"),
            None => Ok(()),
        }
    }
}

/// All rounds of a fault.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub fault: String,
    pub rounds: usize,
    pub write_median: f64,
    pub write_worst: f64,
    pub read_median: f64,
    pub read_worst: f64,
    pub acknowledged: usize,
    pub lost: usize,
    pub stale: usize,
    pub partial: usize,
    /// All of them, the stale and the partial ones included.
    pub wrong: usize,
    pub reads: usize,
    pub reads_failed: usize,
    /// Batches that were not applied when they were sent first.
    pub batches_again: usize,
    /// The median of the rounds' p99 of reads in ms, and the longest read of all in seconds.
    pub p99: f64,
    pub longest_read: f64,
    /// The worst.
    pub whole: Option<f64>,
    pub errors: usize,
}

impl Row {
    fn of(fault: &str, rounds: &[&Round]) -> Self {
        let sorted = |value: fn(&Round) -> f64| {
            let mut values: Vec<_> = rounds.iter().map(|round| value(round)).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let median = |value| {
            let values = sorted(value);
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        let worst = |value| sorted(value).last().copied().unwrap_or_default();
        let sum = |count: fn(&Round) -> usize| rounds.iter().map(|round| count(round)).sum();
        Self {
            fault: fault.to_owned(),
            rounds: rounds.len(),
            write_median: median(|round| round.without_write),
            write_worst: worst(|round| round.without_write),
            read_median: median(|round| round.without_read),
            read_worst: worst(|round| round.without_read),
            acknowledged: sum(|round| round.acknowledged),
            lost: sum(|round| round.lost),
            stale: sum(|round| round.summary.stale),
            partial: sum(|round| round.summary.partial),
            wrong: sum(|round| round.summary.wrong),
            reads: sum(|round| round.summary.requests - round.summary.batches),
            reads_failed: sum(|round| round.summary.failed),
            batches_again: sum(|round| round.summary.failed_batches),
            p99: median(|round| round.summary.p99),
            longest_read: worst(|round| round.summary.max) / 1000.0,
            whole: rounds
                .iter()
                .map(|round| round.whole)
                .collect::<Option<Vec<_>>>()
                .map(|values| values.into_iter().fold(0.0, f64::max)),
            errors: sum(|round| usize::from(round.error.is_some())),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub processors: usize,
    pub requests_a_second: f64,
    pub instances: usize,
    pub rows: Vec<Row>,
    pub rounds: Vec<Round>,
    pub batches: usize,
    pub batches_applied: usize,
    /// At the end, of all batches.
    pub differences: Vec<String>,
}

impl Report {
    pub(super) fn new(play: &Play, rounds: Vec<Round>, log: &Log, differences: Vec<String>) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for round in &rounds {
            if !names.contains(&round.fault.as_str()) {
                names.push(&round.fault);
            }
        }
        let rows = names
            .into_iter()
            .map(|name| {
                let of: Vec<_> = rounds.iter().filter(|round| round.fault == name).collect();
                Row::of(name, &of)
            })
            .collect();
        let (batches, batches_applied) = log.ledger.counts();
        Self {
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            requests_a_second: play.rate,
            instances: play.instances,
            rows,
            rounds,
            batches,
            batches_applied,
            differences,
        }
    }

    #[must_use]
    pub fn row(&self, fault: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.fault == fault)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} instances, {} reads a second; seconds without an acknowledged batch and without a read, median and \
             worst; p99 in ms",
            self.instances, self.requests_a_second
        )?;
        writeln!(
            formatter,
            "  {:<24}{:>4}{:>8}{:>7}{:>8}{:>7}{:>7}{:>6}{:>7}{:>9}{:>7}{:>9}{:>8}{:>8}{:>9}{:>8}",
            "fault",
            "n",
            "writes",
            "worst",
            "reads",
            "worst",
            "acked",
            "lost",
            "stale",
            "partial",
            "wrong",
            "failed",
            "again",
            "p99",
            "longest",
            "whole"
        )?;
        for row in &self.rows {
            writeln!(
                formatter,
                "  {:<24}{:>4}{:>8.1}{:>7.1}{:>8.2}{:>7.2}{:>7}{:>6}{:>7}{:>9}{:>7}{:>9}{:>8}{:>8.0}{:>9.1}{:>8}",
                row.fault,
                row.rounds,
                row.write_median,
                row.write_worst,
                row.read_median,
                row.read_worst,
                row.acknowledged,
                row.lost,
                row.stale,
                row.partial,
                row.wrong,
                row.reads_failed,
                row.batches_again,
                row.p99,
                row.longest_read,
                row.whole
                    .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0}")),
            )?;
        }
        writeln!(
            formatter,
            "  {} batches, {} of them acknowledged; {} not in the database as they were answered",
            self.batches,
            self.batches_applied,
            self.differences.len()
        )?;
        for round in self.rounds.iter().filter(|round| round.error.is_some()) {
            writeln!(
                formatter,
                "  {}: NOT AS IT HAS TO BE: {}",
                round.fault,
                round.error.as_deref().unwrap_or_default()
            )?;
        }
        self.differences
            .iter()
            .take(20)
            .try_for_each(|difference| writeln!(formatter, "  {difference}"))
    }
}
