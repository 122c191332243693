//! What is wanted of rollouts.

use load::rollouts::{Kind, Report, Step, Trouble};

use crate::goal::Goal;

const ROLLOUTS: usize = 20;
const REQUESTS: usize = 200_000;
/// A read during rollouts may take so long, however quick it is without.
const SLOW_MS: f64 = 100.0;
/// And around a restart of the database.
const LONGEST_MS: f64 = 15_000.0;

#[must_use]
pub fn goals(report: &Report) -> Vec<Goal> {
    let of = |kind: Kind| report.steps.iter().filter(move |step| step.kind == kind);
    let errors = |kind: Kind| of(kind).filter(|step| step.error.is_some()).count();
    let total = &report.total;
    let most = (3.0 * report.quiet.p99).max(SLOW_MS);
    let mut goals = vec![
        Goal::count_of("rollouts", ROLLOUTS, of(Kind::Rollout).count()),
        Goal::count_of("requests", REQUESTS, total.requests),
        Goal::none("failed requests", total.failed),
        Goal::none("wrong answers", total.wrong),
        Goal::none("failed batches", total.failed_batches),
        Goal::none("batches not applied exactly once", report.differences.len()),
        Goal::none(
            "rollouts that did not end as they have to",
            errors(Kind::Rollout) + errors(Kind::Quiet),
        ),
        Goal::at_most("p99 in ms during rollouts", most, report.rollouts.p99),
    ];
    if of(Kind::Database).count() > 0 {
        goals.extend([
            Goal::none("failed reads around database restarts", report.databases.failed),
            Goal::at_most(
                "the longest read around them, in ms",
                LONGEST_MS,
                report.databases.max,
            ),
            Goal::none(
                "restarts after which a batch did not pass when sent again",
                errors(Kind::Database),
            ),
        ]);
    }
    goals.extend(of(Kind::Broken).map(broken));
    goals.extend(of(Kind::Deadline).map(|step| {
        let found = step.error.clone().or_else(|| step.batch.clone());
        Goal::new(
            step.name.as_str(),
            "refused with a problem document, and taken when sent again",
            found.unwrap_or_default(),
            step.error.is_none(),
        )
    }));
    goals.extend(of(Kind::Unprotected).map(|step| {
        let lost = step.summary.failed + step.summary.failed_batches;
        Goal::count_of(format!("failures with {}", step.name), 1, lost)
    }));
    goals
}

fn broken(step: &Step) -> Goal {
    let lost = step.summary.failed + step.summary.wrong + step.summary.failed_batches;
    let said = step.trouble.as_ref().map_or_else(
        || step.error.clone().unwrap_or_default(),
        |trouble| format!("{} after {:.1} s", trouble.reason, trouble.said_after),
    );
    let in_time = step.trouble.as_ref().is_some_and(Trouble::in_time);
    Goal::new(
        format!("a rollout to an image that {}", step.name),
        "no request lost, why within 30 s, and one apply back",
        format!("{lost} lost, {said}"),
        lost == 0 && step.error.is_none() && in_time,
    )
}
