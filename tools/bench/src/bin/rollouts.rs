//! The whole campaign of rollouts, for `cargo xtask bench rollout`, which provides the cluster: two nodes, their proxies
//! slowed, and the images of the stand-ins.

use std::time::Duration;

use anyhow::Result;
use bench::figures;
use bench::goal::Goal;
use bench::rollout::{self, Part};
use clap::Parser;
use client::kubectl::Kubectl;
use load::rollouts::{Broken, Change, Play, Protection, Report, Shape, Stage};
use serde::Serialize;
use serde_json::json;

/// Rolls an environment out again and again under load, and prints what was lost.
#[derive(Parser)]
struct Arguments {
    /// The name of the file for all figures
    #[arg(long)]
    figures: String,
    /// A few rollouts: shows that it works
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// The database's volume is on the node where its pod was first; drains are of the other.
const SECOND_NODE: &str = "node-2";

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let report = campaign(&arguments)?;
    println!("{report}");
    let goals = rollout::goals(&report);
    for goal in &goals {
        println!("{goal}");
    }
    figures::write(&arguments.figures, &Figures { report, goals }).map(drop)
}

#[derive(Serialize)]
struct Figures {
    #[serde(flatten)]
    report: Report,
    goals: Vec<Goal>,
}

fn campaign(arguments: &Arguments) -> Result<Report> {
    let quick = arguments.quick;
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let play = Play {
        shape: Shape {
            profile: "Staging",
            replicas: 2,
            propagation: Duration::from_secs(10),
            max_batch: Duration::from_mins(1),
        },
        rate: 200.0,
        step: Duration::from_secs(if quick { 0 } else { 48 }),
    };
    let cluster = Kubectl::new("default");
    cluster.run(["cordon", SECOND_NODE])?;
    let begun = Stage::begin("rollout", play);
    cluster.run(["uncordon", SECOND_NODE])?;
    let mut stage = begun?;
    stage.quiet(Duration::from_secs(if quick { 15 } else { 90 }));
    if wanted(Part::Rollouts) {
        for (name, change) in rollouts(&stage, quick)? {
            stage.change(name, &change);
        }
    }
    if wanted(Part::Databases) {
        let restart = Change::Parameter("shared_buffers", json!("48MB"));
        stage.change("database: parameter", &restart);
        stage.change("database: pod deleted", &Change::DatabasePod);
        stage.change("database: crash", &Change::DatabaseCrash);
        stage.too_long(Duration::from_secs(8));
    }
    if wanted(Part::Broken) {
        for broken in Broken::ALL {
            stage.broken(broken);
        }
    }
    if wanted(Part::Unprotected) {
        for protection in Protection::ALL {
            stage.without(protection, if quick { 1 } else { 3 });
        }
    }
    stage.finish()
}

/// Twenty of them; each kind again after others.
fn rollouts(stage: &Stage, quick: bool) -> Result<Vec<(&'static str, Change)>> {
    let image = |mode: &str| stage.images.get(mode).map(|image| Change::Image(Some(image)));
    let own = || Change::Image(None);
    let config = |value: u32| Change::Config("maxBatches", json!(value));
    let mut rollouts = vec![
        ("image", image("plain")?),
        ("config", config(4)),
        ("password", Change::Password),
        ("migration", image("next")?),
        ("scale up by the HPA", Change::ScaleUp(4)),
        ("scale down by the HPA", Change::ScaleDown),
        ("drain of a node", Change::Drain),
        ("config under the HPA", config(6)),
        ("image that starts slowly", image("slow")?),
        ("ingest token", Change::Token),
        ("image back", own()),
        ("config back", config(3)),
        ("password again", Change::Password),
        ("image again", image("plain")?),
        ("scale up again", Change::ScaleUp(3)),
        ("scale down again", Change::ScaleDown),
        ("drain again", Change::Drain),
        ("config again", config(5)),
        ("the HPA goes, three pods", Change::Fixed(3)),
        ("image to the end", own()),
    ];
    if quick {
        let few = ["image", "config", "password", "migration", "drain of a node"];
        rollouts.retain(|(name, _)| few.contains(name));
    }
    Ok(rollouts)
}
