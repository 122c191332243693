//! What a run found, for other programs and for a person.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::broken::Trouble;
use super::subject::Play;
use crate::{Lane, Log, Phase, Summary};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    Quiet,
    Rollout,
    /// A restart of the database.
    Database,
    Broken,
    /// A batch that is given up.
    Deadline,
    Unprotected,
    /// Not counted for anything.
    Between,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub name: String,
    pub kind: Kind,
    #[serde(skip)]
    pub from: Duration,
    #[serde(skip)]
    pub to: Duration,
    pub seconds: f64,
    /// Until the change had arrived.
    pub change_seconds: f64,
    pub summary: Summary,
    /// What became of the batch in flight, where that is not known beforehand.
    pub batch: Option<String>,
    pub trouble: Option<Trouble>,
    /// What was not as it has to be, beside the requests.
    pub error: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub processors: usize,
    pub requests_a_second: f64,
    pub replicas: u32,
    pub propagation_seconds: u64,
    pub steps: Vec<Step>,
    /// All of the load but what ran without a protection.
    pub total: Summary,
    /// During rollouts alone, and without any of them.
    pub rollouts: Summary,
    pub quiet: Summary,
    pub databases: Summary,
    pub batches: usize,
    pub batches_applied: usize,
    /// Batches of which the database has something else than was acknowledged.
    pub differences: Vec<String>,
    /// Requests that went out on another connection, as theirs had ended before a byte of them was written.
    pub unsent: usize,
}

impl Step {
    pub(super) fn new(name: &str, kind: Kind, from: Duration) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            from,
            to: from,
            seconds: 0.0,
            change_seconds: 0.0,
            summary: Summary::default(),
            batch: None,
            trouble: None,
            error: None,
        }
    }
}

impl Report {
    pub(super) fn new(play: Play, mut steps: Vec<Step>, log: &Log, differences: Vec<String>) -> Self {
        let phase = |step: &Step| Phase {
            name: step.name.clone(),
            from: step.from,
            to: step.to,
        };
        for step in &mut steps {
            let phase = phase(step);
            step.summary = Summary::of(log.records.iter().filter(|record| phase.holds(record)));
        }
        let during = |kinds: &[Kind]| -> Vec<Phase> {
            let chosen = steps.iter().filter(|step| kinds.contains(&step.kind));
            chosen.map(phase).collect()
        };
        let summary = |phases: &[Phase]| {
            let within = |record: &&_| phases.iter().any(|phase| phase.holds(record));
            Summary::of(log.records.iter().filter(within))
        };
        // A step that breaks something on purpose is not among them; what is between the steps is.
        let apart = during(&[Kind::Unprotected, Kind::Between]);
        let refused = during(&[Kind::Database, Kind::Deadline]);
        let total = Summary::of(log.records.iter().filter(|record| {
            let within = |phases: &[Phase]| phases.iter().any(|phase| phase.holds(record));
            let expected = record.lane == Lane::Batch && within(&refused);
            !(expected || within(&apart))
        }));
        let (batches, batches_applied) = log.ledger.counts();
        Self {
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            requests_a_second: play.rate,
            replicas: play.shape.replicas,
            propagation_seconds: play.shape.propagation.as_secs(),
            total,
            rollouts: summary(&during(&[Kind::Rollout])),
            quiet: summary(&during(&[Kind::Quiet])),
            databases: summary(&during(&[Kind::Database])),
            steps,
            batches,
            batches_applied,
            differences,
            unsent: log.unsent,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} requests a second to {} pods, propagation {} s; read times in ms from when each was due",
            self.requests_a_second, self.replicas, self.propagation_seconds
        )?;
        writeln!(
            formatter,
            "  {:<38}{:>9}{:>9}{:>10}{:>8}{:>7}{:>9}{:>9}{:>10}{:>10}",
            "step", "seconds", "change", "requests", "failed", "wrong", "batches", "p50", "p99", "max"
        )?;
        let rows = self.steps.iter().map(|step| {
            (
                step.name.as_str(),
                step.seconds,
                step.change_seconds,
                &step.summary,
            )
        });
        for (name, seconds, change, summary) in rows.chain([("all of it, as counted", 0.0, 0.0, &self.total)])
        {
            writeln!(
                formatter,
                "  {name:<38}{seconds:>9.1}{change:>9.1}{:>10}{:>8}{:>7}{:>9}{:>9.1}{:>10.1}{:>10.1}",
                summary.requests,
                summary.failed,
                summary.wrong,
                format!("{}/{}", summary.batches - summary.failed_batches, summary.batches),
                summary.p50,
                summary.p99,
                summary.max
            )?;
        }
        for step in &self.steps {
            let kinds = &step.summary.kinds;
            if !kinds.is_empty() {
                writeln!(formatter, "  {}: {kinds:?}", step.name)?;
            }
            if let Some(batch) = &step.batch {
                writeln!(formatter, "  {}: the batch in flight: {batch}", step.name)?;
            }
            if let Some(trouble) = &step.trouble {
                writeln!(
                    formatter,
                    "  {}: {} after {:.1} s ({}); back after {:.1} s",
                    step.name, trouble.reason, trouble.said_after, trouble.message, trouble.back_after
                )?;
            }
            if let Some(error) = &step.error {
                writeln!(formatter, "  {}: NOT AS IT HAS TO BE: {error}", step.name)?;
            }
        }
        self.differences
            .iter()
            .try_for_each(|difference| writeln!(formatter, "  {difference}"))
    }
}
