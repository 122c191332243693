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

#[cfg(test)]
mod tests {
    use super::grafana::Unit;
    use super::*;

    /// By the endings of metrics (Prometheus' conventions for their names) and what is done with them.
    fn unit_of(expression: &str) -> Unit {
        let has = |part: &str| expression.contains(part);
        let is_a_rate = has("rate(");
        let counts_bytes = ["_bytes", "xlog_location", "wal_lsn_diff"]
            .iter()
            .any(|name| has(name));
        if has("histogram_quantile") {
            Unit::Seconds
        } else if has(":ratio") || has("rates:saturation:") || (is_a_rate && has(" / ")) {
            Unit::Share
        } else if has(":cores") {
            Unit::Cores
        } else if is_a_rate && counts_bytes {
            Unit::BytesPerSecond
        } else if is_a_rate {
            Unit::PerSecond
        } else if counts_bytes {
            Unit::Bytes
        } else if has("_seconds") || has("_tx_duration") {
            Unit::Seconds
        } else {
            Unit::Count
        }
    }

    #[test]
    fn every_panel_has_the_unit_of_its_metrics() {
        for dashboard in all() {
            for (panel, unit, expression) in dashboard.units() {
                assert_eq!(unit, unit_of(&expression), "{panel}: {expression}");
            }
        }
    }

    #[test]
    fn panels_have_ids_of_their_own_and_share_no_place() {
        for dashboard in all() {
            let json = dashboard.json();
            let panels = json["panels"].as_array().unwrap();
            let mut taken = std::collections::BTreeSet::new();
            let mut ids = std::collections::BTreeSet::new();
            for panel in panels {
                assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
                let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
                assert!(x + w <= 24, "{panel}");
                let places = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
                for place in places {
                    assert!(taken.insert(place), "{}: {place:?}", panel["title"]);
                }
            }
        }
    }
}
