//! Each rung's load, and the remedy that the documents name for it.

use anyhow::Result;
use client::environment::Environment;
use serde_json::{Value, json};

use super::load::{self, Stop};
use crate::only;

/// How one rung is saturated and relieved.
pub struct Case {
    pub rung: &'static str,
    /// In words, for the report.
    pub cause: &'static str,
    pub remedy: &'static str,
    /// The environment's spec, beside what all have.
    pub spec: Value,
    pub load: fn(&Environment, &Stop) -> Result<()>,
    pub relieve: Relief,
}

pub enum Relief {
    /// A patch of the environment's spec.
    Spec(Value),
    /// What a person does.
    Act(fn(&Environment) -> Result<()>),
}

/// Those of these rungs, or all.
pub fn chosen(rungs: &[String]) -> Result<Vec<Case>> {
    only::chosen("case of a rung", all(), |case| case.rung, rungs)
}

/// In the order of the ladder. Rungs 7 and 8 are not played: what keeps the fold waiting saturates a rung below it too, and
/// reads come from the machine's memory here.
fn all() -> Vec<Case> {
    vec![
        Case {
            rung: "api_processors",
            cause: "8 callers read as fast as a pod with 0.1 processors answers",
            remedy: "spec.api.resources.limits.cpu: 1",
            spec: json!({"api": {"replicas": 1, "resources": {"limits": {"cpu": "100m"}}}}),
            load: load::reads,
            relieve: Relief::Spec(json!({"api": {"resources": {"limits": {"cpu": "1"}}}})),
        },
        Case {
            rung: "connections",
            cause: "3 callers send batches a row a second, to a pod with one place",
            remedy: "spec.api.config.maxBatches: 8",
            spec: json!({"api": {"replicas": 1, "config": {"maxBatches": 1}}}),
            load: load::slow_batches,
            relieve: Relief::Spec(json!({"api": {"config": {"maxBatches": 8}}})),
        },
        Case {
            rung: "database_processors",
            cause: "3 sessions calculate, in a database with 0.3 processors",
            remedy: "spec.database.resources.limits.cpu: 4",
            spec: json!({"database": {"resources": {"limits": {"cpu": "300m"}}}}),
            load: load::calculations,
            relieve: Relief::Spec(json!({"database": {"resources": {"limits": {"cpu": "4"}}}})),
        },
        Case {
            rung: "log",
            cause: "8 sessions commit row by row",
            remedy: "the same rows in transactions of 2,000, as batches are",
            spec: json!({}),
            load: load::commits,
            relieve: Relief::Act(load::commit_less_often),
        },
        Case {
            rung: "replication",
            cause: "a standby is stopped, and batches wait for it",
            remedy: "the standby goes on",
            spec: json!({"database": {"instances": 2, "durability": "Required"}}),
            load: load::unconfirmed_batches,
            relieve: Relief::Act(|environment| {
                load::signal_all(environment, &load::standby(environment)?, "CONT")
            }),
        },
        Case {
            rung: "locks",
            cause: "3 sessions wait for a lock that a fourth one holds",
            remedy: "the session that holds it is ended",
            spec: json!({}),
            load: load::waiting_for_a_lock,
            relieve: Relief::Act(load::release),
        },
        Case {
            rung: "volume",
            cause: "a file fills the volume to 95 %",
            remedy: "the file is removed (the local storage cannot grow)",
            spec: json!({}),
            load: load::filled_volume,
            relieve: Relief::Act(load::empty_volume),
        },
    ]
}
