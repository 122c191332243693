//! The Grafana dashboards: what is shown, in which order, with which unit.

mod environment;
mod environments;
mod grafana;
mod operator;
mod rollouts;

use anyhow::Result;

use crate::Expression;
use grafana::Dashboard;

/// The names of the files, without their ending.
pub const NAMES: [&str; 4] = ["environments", "environment", "operator", "rollouts"];

fn all() -> [Dashboard; 4] {
    [
        environments::dashboard(),
        environment::dashboard(),
        operator::dashboard(),
        rollouts::dashboard(),
    ]
}

/// The file of a dashboard, one of `NAMES`.
pub fn file(name: &str) -> Result<String> {
    let dashboard = NAMES
        .iter()
        .zip(all())
        .find_map(|(known, dashboard)| (*known == name).then_some(dashboard));
    let dashboard = dashboard.ok_or_else(|| anyhow::anyhow!("there is no dashboard {name}"))?;
    Ok(format!("{:#}\n", dashboard.json()))
}

/// What all dashboards ask, of one environment where a person would choose one.
#[must_use]
pub fn expressions(namespace: &str, environment: &str) -> Vec<Expression> {
    all()
        .iter()
        .flat_map(|dashboard| dashboard.expressions(namespace, environment))
        .collect()
}
