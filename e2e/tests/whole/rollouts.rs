//! Rollouts under load, a few of those that `cargo xtask bench rollout` plays: nothing fails, also where the new image
//! does not work.

use std::time::Duration;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use load::rollouts::{Broken, Change, Kind, Play, Shape, Stage};
use serde_json::json;

use crate::trial::trial;

pub fn measured() -> Trial {
    trial(
        "rollouts::lose_nothing_and_broken_images_change_nothing",
        lose_nothing,
    )
}

const PLAY: Play = Play {
    shape: Shape {
        profile: "Preview",
        replicas: 2,
        propagation: Duration::from_secs(5),
        max_batch: Duration::from_mins(1),
    },
    rate: 40.0,
    step: Duration::ZERO,
};

fn lose_nothing() -> Result<()> {
    let mut stage = Stage::begin("rolling", PLAY)?;
    let next = stage.images.get("next")?;
    stage.change("an image with a migration", &Change::Image(Some(next)));
    stage.change("config", &Change::Config("maxBatches", json!(4)));
    for broken in Broken::ALL {
        stage.broken(broken);
    }
    stage.too_long(Duration::from_secs(5));
    let report = stage.finish()?;
    println!("{report}");
    for step in &report.steps {
        ensure!(step.error.is_none(), "{}: {:?}", step.name, step.error);
        ensure!(
            step.trouble.as_ref().is_none_or(load::rollouts::Trouble::in_time),
            "{}: {:?}",
            step.name,
            step.trouble
        );
        let lost = step.summary.failed + step.summary.wrong;
        let batches = if step.kind == Kind::Deadline {
            0
        } else {
            step.summary.failed_batches
        };
        ensure!(lost + batches == 0, "{}: {:?}", step.name, step.summary);
        ensure!(step.summary.requests > 0, "{}: nothing was asked", step.name);
    }
    ensure!(
        report.total.failed + report.total.wrong == 0,
        "{:?}",
        report.total
    );
    ensure!(report.differences.is_empty(), "{:?}", report.differences);
    Ok(())
}
