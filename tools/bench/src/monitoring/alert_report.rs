//! What fired against what should have, and the figures as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::goal::Goal;

#[derive(Debug, Serialize)]
pub struct Report {
    pub rows: Vec<Row>,
    /// Alerts that none of the faults fires, and why.
    pub left_out: Vec<(String, String)>,
    pub goals: Vec<Goal>,
}

/// What was seen of one fault.
#[derive(Debug, Serialize)]
pub struct Row {
    pub fault: String,
    /// Seconds until its remedy.
    pub lasted: f64,
    pub alerts: Vec<Alert>,
    /// What kept it from being played to its end.
    pub error: Option<String>,
}

/// When an alert was there.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Seconds after the fault.
    pub fired: f64,
    /// Seconds after the remedy; none while it fires.
    pub resolved: Option<f64>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Alert {
    pub name: String,
    /// Seconds after the fault at the latest; none: it must not fire.
    pub wanted: Option<u64>,
    pub fired: Option<f64>,
    pub resolved: Option<f64>,
}

/// Every alert that should have fired or did.
pub fn compare(wanted: &BTreeMap<String, u64>, seen: &BTreeMap<String, Seen>) -> Vec<Alert> {
    let names: BTreeSet<&String> = wanted.keys().chain(seen.keys()).collect();
    let alerts = names.into_iter().map(|name| Alert {
        name: name.clone(),
        wanted: wanted.get(name).copied(),
        fired: seen.get(name).map(|seen| seen.fired),
        resolved: seen.get(name).and_then(|seen| seen.resolved),
    });
    alerts.collect()
}

impl Alert {
    /// Nothing, or what is wrong with it.
    fn verdict(&self) -> &'static str {
        match (self.wanted, self.fired) {
            (Some(_), None) => "missing",
            (None, _) => "not expected",
            (Some(wanted), Some(fired)) if fired > Duration::from_secs(wanted).as_secs_f64() => "late",
            (Some(_), Some(_)) => "",
        }
    }
}

impl Row {
    fn wrong(&self) -> usize {
        let alerts = self.alerts.iter().filter(|alert| !alert.verdict().is_empty());
        alerts.count() + usize::from(self.error.is_some())
    }
}

impl Report {
    pub fn new(rows: Vec<Row>, left_out: Vec<(String, String)>) -> Self {
        let goals = rows.iter().map(|row| {
            let what = format!("{}: alerts that are missing, late or not expected", row.fault);
            Goal::none(what, row.wrong())
        });
        Self {
            goals: goals.collect(),
            rows,
            left_out,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0} s"));
        let fault = format!("{}, {:.0} s", self.fault, self.lasted);
        if self.alerts.is_empty() {
            writeln!(formatter, "{fault:<30}none")?;
        }
        for (index, alert) in self.alerts.iter().enumerate() {
            let fault = if index == 0 { fault.as_str() } else { "" };
            let within = alert
                .wanted
                .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s"));
            let line = format!(
                "{fault:<30}{:<30}{within:>8}{:>8}{:>10}  {}",
                alert.name,
                seconds(alert.fired),
                seconds(alert.resolved),
                alert.verdict()
            );
            writeln!(formatter, "{}", line.trim_end())?;
        }
        match &self.error {
            Some(error) => writeln!(formatter, "{}: {error}", self.fault),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{:<30}{:<30}{:>8}{:>8}{:>10}",
            "fault, for", "alert", "within", "fired", "resolved"
        )?;
        for row in &self.rows {
            write!(formatter, "{row}")?;
        }
        for (alert, why) in &self.left_out {
            writeln!(formatter, "not played: {alert}: {why}")?;
        }
        for goal in &self.goals {
            writeln!(formatter, "{goal}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(wanted: &[(&str, u64)], seen: &[(&str, f64)]) -> Row {
        let wanted = wanted
            .iter()
            .map(|(name, at)| ((*name).to_owned(), *at))
            .collect();
        let seen = seen.iter().map(|(name, fired)| {
            let resolved = Some(20.0);
            (
                (*name).to_owned(),
                Seen {
                    fired: *fired,
                    resolved,
                },
            )
        });
        Row {
            fault: "standby-frozen".to_owned(),
            lasted: 410.0,
            alerts: compare(&wanted, &seen.collect()),
            error: None,
        }
    }

    fn verdicts(row: &Row) -> Vec<(&str, &str)> {
        let alerts = row.alerts.iter();
        alerts
            .map(|alert| (alert.name.as_str(), alert.verdict()))
            .collect()
    }

    #[test]
    fn exactly_the_wanted_alerts_in_time_are_right() {
        let row = row(&[("One", 365), ("Two", 100)], &[("Two", 99.2), ("One", 365.0)]);
        assert_eq!(verdicts(&row), [("One", ""), ("Two", "")]);
        assert_eq!(row.wrong(), 0);
    }

    #[test]
    fn a_missing_a_late_and_an_unexpected_alert_are_each_wrong() {
        let row = row(
            &[("Late", 365), ("Missing", 100)],
            &[("Late", 366.1), ("Unexpected", 3.0)],
        );
        assert_eq!(
            verdicts(&row),
            [
                ("Late", "late"),
                ("Missing", "missing"),
                ("Unexpected", "not expected")
            ]
        );
        let report = Report::new(vec![row], Vec::new());
        assert!(!report.goals[0].met);
        assert_eq!(report.goals[0].found, "3");
    }

    #[test]
    fn nothing_may_fire_where_nothing_is_wanted_and_a_fault_that_was_not_played_is_not_right() {
        assert_eq!(row(&[], &[]).wrong(), 0);
        assert_eq!(row(&[], &[("Any", 1.0)]).wrong(), 1);
        let failed = Row {
            error: Some("not whole again".to_owned()),
            ..row(&[], &[])
        };
        assert_eq!(failed.wrong(), 1);
    }

    #[test]
    fn a_row_says_what_fired_when_and_what_is_wrong_with_it() {
        let row = row(&[("One", 365)], &[("One", 340.4), ("Two", 12.0)]);
        assert_eq!(
            row.to_string(),
            "standby-frozen, 410 s         One                              365 s   340 s      20 s\n\
             \x20                             Two                                  -    12 s      20 s  not expected\n"
        );
    }
}
