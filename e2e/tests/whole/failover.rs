//! Faults of a database of three instances under load, a few of those that `cargo xtask bench failover` plays: nothing
//! that was acknowledged is lost, no answer is wrong, and all of it heals by itself.

use std::time::Duration;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use load::failover::{Play, Simple, Stage};
use serde_json::json;

use crate::trial::trial;

pub fn measured() -> Trial {
    trial(
        "failover::of_three_instances_loses_nothing_and_shows_nothing_old",
        loses_nothing,
    )
}

const FAULTS: [Simple; 4] = [
    Simple::PostmasterKilled,
    Simple::ContainerCrash,
    Simple::PodDeleted,
    Simple::Switchover,
];
/// The aim is 3 s, on a machine that does nothing else.
const WRITES_BACK: f64 = 30.0;
/// So long a read waits for the next primary.
const READS_WAIT: f64 = 15.0;

fn loses_nothing() -> Result<()> {
    let play = Play {
        spec: json!({
            "profile": "Preview",
            "database": {"instances": 3, "seed": {"bundled": {}}},
        }),
        instances: 3,
        rate: 40.0,
        probe_every: Duration::from_millis(500),
    };
    let mut stage = Stage::begin("failing-over", play, |_| Ok(()))?;
    for fault in FAULTS {
        // What follows would be about a database that is harmed already.
        if !stage.fault(&fault) {
            break;
        }
    }
    let report = stage.finish()?;
    println!("{report}");
    for round in &report.rounds {
        ensure!(round.error.is_none(), "{round}");
        ensure!(round.lost == 0 && round.summary.wrong == 0, "{round}");
        ensure!(
            round.summary.failed == 0 || round.without_write >= READS_WAIT,
            "reads failed: {round}"
        );
        ensure!(round.without_write < WRITES_BACK, "{round}");
        ensure!(round.acknowledged > 0, "nothing was written: {round}");
    }
    ensure!(report.differences.is_empty(), "{:?}", report.differences);
    Ok(())
}
