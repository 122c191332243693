//! What is wanted of a failover.

use load::failover::{Fault, Primary, Reads, Report, Row};

use crate::goal::Goal;

/// No read may take longer where a node is lost.
const LONGEST_READ: f64 = 15.0;

#[must_use]
pub fn goals(report: &Report, faults: &[Box<dyn Fault>], rounds: usize) -> Vec<Goal> {
    let sum = |count: fn(&Row) -> usize| report.rows.iter().map(count).sum();
    let mut goals = vec![
        Goal::none("acknowledged batches lost", sum(|row| row.lost)),
        Goal::none(
            "batches of which the database has something else than was answered",
            report.differences.len(),
        ),
        Goal::none("stale answers", sum(|row| row.stale)),
        Goal::none("partial answers", sum(|row| row.partial)),
        Goal::none(
            "other wrong answers",
            sum(|row| row.wrong - row.stale - row.partial),
        ),
    ];
    for fault in faults {
        let (name, expected) = (fault.name(), fault.expected());
        let Some(row) = report.row(name) else { continue };
        goals.push(Goal::count_of(format!("{name}: rounds"), rounds, row.rounds));
        let primary = match expected.primary {
            Primary::Another => "with another primary",
            Primary::Same => "with the same primary",
            Primary::Any => "whoever is the primary",
        };
        goals.push(Goal::none(
            format!("{name}: rounds that did not heal by themselves, {primary}"),
            row.errors,
        ));
        if let Some((median, worst)) = expected.writes {
            let what = |which| format!("{name}: seconds without a write, {which}");
            goals.push(Goal::at_most(what("median"), median, row.write_median));
            goals.push(Goal::at_most(what("worst"), worst, row.write_worst));
        }
        match expected.reads {
            Reads::All => goals.push(Goal::none(format!("{name}: failed reads"), row.reads_failed)),
            Reads::InTime => goals.push(Goal::at_most(
                format!("{name}: the longest read in seconds"),
                LONGEST_READ,
                row.longest_read,
            )),
            Reads::Any => {}
        }
    }
    goals
}
