//! What is wanted, held against what was found.

use std::fmt;

use serde::Serialize;

use super::report::{Kind, Report, Step};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Goal {
    pub what: String,
    pub wanted: String,
    pub found: String,
    pub met: bool,
}

const ROLLOUTS: usize = 20;
const REQUESTS: usize = 200_000;
/// A read during rollouts may take so long, however quick it is without.
const SLOW_MS: f64 = 100.0;
/// And around a restart of the database.
const LONGEST_MS: f64 = 15_000.0;

pub fn goals(report: &Report) -> Vec<Goal> {
    let of = |kind: Kind| report.steps.iter().filter(move |step| step.kind == kind);
    let errors = |kind: Kind| of(kind).filter(|step| step.error.is_some()).count();
    let total = &report.total;
    let most = (3.0 * report.quiet.p99).max(SLOW_MS);
    let mut goals = vec![
        at_least("rollouts", ROLLOUTS, of(Kind::Rollout).count()),
        at_least("requests", REQUESTS, total.requests),
        none("failed requests", total.failed),
        none("wrong answers", total.wrong),
        none("failed batches", total.failed_batches),
        none("batches not applied exactly once", report.differences.len()),
        none(
            "rollouts that did not end as they have to",
            errors(Kind::Rollout) + errors(Kind::Quiet),
        ),
        at_most("p99 in ms during rollouts", most, report.rollouts.p99),
    ];
    if of(Kind::Database).count() > 0 {
        goals.extend([
            none("failed reads around database restarts", report.databases.failed),
            at_most(
                "the longest read around them, in ms",
                LONGEST_MS,
                report.databases.max,
            ),
            none(
                "restarts after which a batch did not pass when sent again",
                errors(Kind::Database),
            ),
        ]);
    }
    goals.extend(of(Kind::Broken).map(broken));
    goals.extend(of(Kind::Deadline).map(|step| {
        Goal {
            what: step.name.clone(),
            wanted: "refused with a problem document, and taken when sent again".to_owned(),
            found: step
                .error
                .clone()
                .or_else(|| step.batch.clone())
                .unwrap_or_default(),
            met: step.error.is_none(),
        }
    }));
    goals.extend(of(Kind::Unprotected).map(|step| {
        let lost = step.summary.failed + step.summary.failed_batches;
        at_least(&format!("failures with {}", step.name), 1, lost)
    }));
    goals
}

fn broken(step: &Step) -> Goal {
    let lost = step.summary.failed + step.summary.wrong + step.summary.failed_batches;
    let said = step.trouble.as_ref().map_or_else(
        || step.error.clone().unwrap_or_default(),
        |trouble| format!("{} after {:.1} s", trouble.reason, trouble.said_after),
    );
    Goal {
        what: format!("a rollout to an image that {}", step.name),
        wanted: "no request lost, why within 30 s, and one apply back".to_owned(),
        found: format!("{lost} lost, {said}"),
        met: lost == 0 && step.error.is_none() && step.trouble.as_ref().is_some_and(super::Trouble::in_time),
    }
}

fn none(what: &str, found: usize) -> Goal {
    Goal {
        what: what.to_owned(),
        wanted: "none".to_owned(),
        found: found.to_string(),
        met: found == 0,
    }
}

fn at_least(what: &str, wanted: usize, found: usize) -> Goal {
    Goal {
        what: what.to_owned(),
        wanted: format!("at least {wanted}"),
        found: found.to_string(),
        met: found >= wanted,
    }
}

fn at_most(what: &str, wanted: f64, found: f64) -> Goal {
    Goal {
        what: what.to_owned(),
        wanted: format!("at most {wanted:.0}"),
        found: format!("{found:.1}"),
        met: found <= wanted,
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.met { "met" } else { "MISSED" };
        write!(
            formatter,
            "{verdict:>8}  {}: {} (wanted: {})",
            self.what, self.found, self.wanted
        )
    }
}
