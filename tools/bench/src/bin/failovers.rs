//! The whole campaign of faults, for `cargo xtask bench failover`, which provides the cluster: four nodes, of which the
//! first has the control plane.

use std::time::Duration;

use anyhow::Result;
use bench::failover::{self, Placing, Protection};
use bench::figures;
use bench::goal::Goal;
use clap::Parser;
use load::failover::{Play, Report, Stage};
use serde::Serialize;
use serde_json::json;

/// Harms an environment's database again and again under load, and prints what was lost.
#[derive(Parser)]
struct Arguments {
    /// The name of the file for all figures
    #[arg(long)]
    figures: String,
    /// Only these faults, by name
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How often each fault is played
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Take these protections away instead
    #[arg(long, value_enum, value_delimiter = ',')]
    without: Vec<Protection>,
    /// An image of the API in place of the operator's
    #[arg(long)]
    api: Option<String>,
    /// Instances of the database
    #[arg(long, default_value_t = 3)]
    instances: usize,
    /// Reads a second
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Seconds of nothing but load before the first fault
    #[arg(long, default_value_t = 60)]
    quiet: u64,
}

const PROBE_EVERY: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct Figures {
    #[serde(flatten)]
    report: Report,
    goals: Vec<Goal>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let faults = failover::chosen(&arguments.only)?;
    let mut stage = begin(&arguments)?;
    stage.quiet(Duration::from_secs(arguments.quiet))?;
    let mut goals = Vec::new();
    if arguments.without.is_empty() {
        for fault in &faults {
            for _ in 0..arguments.rounds {
                stage.fault(fault.as_ref());
            }
        }
    } else {
        for protection in &arguments.without {
            without(&mut stage, *protection, arguments.rounds)?;
        }
    }
    let report = stage.finish()?;
    println!("{report}");
    if arguments.without.is_empty() {
        goals = failover::goals(&report, &faults, arguments.rounds);
    }
    for goal in &goals {
        println!("{goal}");
    }
    figures::write(&arguments.figures, &Figures { report, goals }).map(drop)
}

fn without(stage: &mut Stage, protection: Protection, rounds: usize) -> Result<()> {
    let removed = protection.remove(&stage.subject)?;
    for fault in protection.faults() {
        for _ in 0..rounds {
            stage.fault_without(protection.name(), fault.as_ref());
        }
    }
    removed.put_back(&stage.subject)
}

/// The database's instances on all nodes but the first; the API and the operator on that one, which is not harmed.
fn begin(arguments: &Arguments) -> Result<Stage> {
    let placing = Placing::begin(arguments.instances)?;
    let mut play = Play {
        spec: json!({
            "profile": "Staging",
            "database": {
                "instances": arguments.instances,
                "seed": {"bundled": {}},
            },
            "api": {"replicas": 2},
        }),
        instances: arguments.instances,
        rate: arguments.rate,
        probe_every: PROBE_EVERY,
    };
    if let Some(image) = &arguments.api {
        play.spec["api"]["image"] = json!(image);
    }
    Stage::begin("failover", play, |subject| placing.finish(subject, || Ok(())))
}
