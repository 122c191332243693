//! `cargo xtask bench monitoring --faults` and `--quiet`: an environment under a light load, one fault after the other, and
//! which alerts Alertmanager has meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use client::monitoring::{Alertmanager, Monitoring};
use client::prometheus::Prometheus;
use client::proxy::Proxy;
use client::wait::{Look, until};
use host::workspace;
use load::rollouts::Subject;
use monitoring::rules;
use serde_json::json;

use super::alert_report::{Report, Row, Seen, compare};
use super::faults::{FAULTS, Fault, LEFT_OUT, Scene};
use super::load::{Stop, sporadic};
use crate::failover::Placing;
use crate::only;

const INSTANCES: usize = 3;
const LOOK: Duration = Duration::from_secs(1);
/// So long Alertmanager may be silent before nothing can be said of what fired.
const SILENT: Duration = Duration::from_secs(30);
/// Until a group of rules is evaluated, and until what it says has arrived.
const EVALUATED: u64 = 30 + 10;
/// A fault goes on for so long after its last alert is due, and longer than any alert needs that holds for five minutes.
const BEYOND: u64 = 45;
const FIVE_MINUTES: u64 = 300 + 25 + EVALUATED;
/// One that is over at once is watched for so long: an alert that has to hold for two minutes would have fired.
const BRIEF: Duration = Duration::from_mins(3);
/// Until all is whole and nothing fires any more.
const CALM: Duration = Duration::from_mins(12);
/// Between the first samples and the first fault.
const WARM: Duration = Duration::from_mins(2);

/// What Prometheus says once it sees all instances of a database that is whole.
const SEEN: &str = "rates:database_instances:expected == 3 \
                    and sum by (namespace, environment) (patroni_primary + patroni_postgres_streaming) == 3";

/// How many seconds each alert has to hold; the least where there are several of a name.
fn holding_times() -> Result<BTreeMap<String, u64>> {
    let mut times = BTreeMap::new();
    for rule in rules::all(&workspace::root())? {
        let Some(alert) = rule.alert else { continue };
        let holds = rule.holds.as_deref().unwrap_or("0m");
        let minutes: u64 = holds
            .strip_suffix('m')
            .and_then(|minutes| minutes.parse().ok())
            .with_context(|| format!("{alert}: {holds:?} is no number of minutes"))?;
        let time = times.entry(alert).or_insert(u64::MAX);
        *time = (*time).min(minutes * 60);
    }
    Ok(times)
}

/// Within how many seconds each alert of a fault has to fire.
fn wanted(fault: &Fault, holding_times: &BTreeMap<String, u64>) -> Result<BTreeMap<String, u64>> {
    let alerts = fault.alerts.iter().map(|(alert, shows)| {
        let holds = holding_times
            .get(*alert)
            .with_context(|| format!("there is no alert {alert}"))?;
        Ok(((*alert).to_owned(), shows + EVALUATED + holds))
    });
    alerts.collect()
}

/// Makes the environment, and plays: first nothing for so many minutes, then each chosen fault once.
pub fn measure(quiet: Option<u64>, chosen: &[&Fault]) -> Result<Report> {
    let holding_times = holding_times()?;
    let placing = Placing::begin(INSTANCES)?;
    let subject = Subject::with_spec(
        "alerts",
        json!({
            "profile": "Staging",
            "database": {"instances": INSTANCES, "seed": {"bundled": {}}},
            "api": {"replicas": 2},
            // The cluster has no Prometheus operator.
            "monitoring": {"podMonitor": false},
        }),
    )?;
    let proxy = Proxy::start()?;
    let scene = Scene {
        environment: &subject.environment,
        api: proxy.client(),
    };
    until("the database is whole", CALM, || {
        scene.database().healthy(INSTANCES)
    })?;
    let monitoring = placing.finish(&subject, || Monitoring::install(&[]))?;
    let stage = Stage {
        scene: &scene,
        alertmanager: monitoring.alertmanager()?,
        prometheus: monitoring.prometheus()?,
    };
    let stop = Stop::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| sporadic(&subject.environment, &stop));
        let rows = stage.play_all(quiet, chosen, &holding_times);
        stop.store(true, Ordering::Relaxed);
        load.join().map_err(|_| anyhow!("the load panicked"))??;
        let left_out = LEFT_OUT.map(|(alert, why)| (alert.to_owned(), why.to_owned()));
        Ok(Report::new(rows?, left_out.to_vec()))
    })
}

struct Stage<'a> {
    scene: &'a Scene<'a>,
    alertmanager: Alertmanager,
    prometheus: Prometheus,
}

impl Stage<'_> {
    fn play_all(
        &self,
        quiet: Option<u64>,
        chosen: &[&Fault],
        holding_times: &BTreeMap<String, u64>,
    ) -> Result<Vec<Row>> {
        self.calm()?;
        thread::sleep(WARM);
        let mut rows = Vec::new();
        let mut played = |row: Row| {
            eprint!("{row}");
            rows.push(row);
        };
        if let Some(minutes) = quiet {
            let mut watch = Watch::new(&self.alertmanager);
            let error = watch.watch_for(Duration::from_secs(60 * minutes)).err();
            played(watch.row("quiet", &BTreeMap::new(), Instant::now(), error.as_ref()));
        }
        for fault in chosen {
            let wanted = wanted(fault, holding_times)?;
            played(self.play(fault, &wanted));
        }
        Ok(rows)
    }

    /// One fault and its end. What goes wrong is in the row.
    fn play(&self, fault: &Fault, wanted: &BTreeMap<String, u64>) -> Row {
        if let Err(error) = self.calm() {
            return Watch::new(&self.alertmanager).row(fault.name, wanted, Instant::now(), Some(&error));
        }
        let mut watch = Watch::new(&self.alertmanager);
        let remedy = match (fault.inflict)(self.scene) {
            Ok(remedy) => remedy,
            Err(error) => return watch.row(fault.name, wanted, Instant::now(), Some(&error)),
        };
        let last = wanted.values().copied().max().unwrap_or_default();
        let duration = if fault.lasts {
            Duration::from_secs(last.max(FIVE_MINUTES) + BEYOND)
        } else {
            BRIEF
        };
        let watched = watch.watch_for(duration);
        let healed = Instant::now();
        let ended = remedy().and(watched).and_then(|()| self.healed(&mut watch));
        watch.row(fault.name, wanted, healed, ended.err().as_ref())
    }

    /// Until all is whole, and nothing fires, or has fired for long enough. An alert that goes on is in the row.
    fn healed(&self, watch: &mut Watch<'_>) -> Result<()> {
        let began = Instant::now();
        loop {
            watch.look()?;
            let whole = self.scene.database().healthy(INSTANCES);
            let late = began.elapsed() > CALM;
            match whole {
                Ok(Look::Holds(())) if late || !watch.fires() => return Ok(()),
                Ok(Look::NotYet(seen)) => ensure!(!late, "not whole again: {seen}"),
                Err(error) if late => return Err(error.context("not whole again")),
                _ => {}
            }
            thread::sleep(LOOK);
        }
    }

    /// Until all is whole, Prometheus sees it, and nothing fires.
    fn calm(&self) -> Result<()> {
        until("all is whole and nothing fires", CALM, || {
            if let Look::NotYet(seen) = self.scene.database().healthy(INSTANCES)? {
                return Ok(Look::NotYet(seen));
            }
            let firing = self.alertmanager.firing(|_| true)?;
            let seen = self.prometheus.query(SEEN)?;
            Ok(if firing.is_empty() && !seen.is_empty() {
                Look::Holds(())
            } else {
                Look::NotYet(format!("{firing:?} fire, Prometheus sees {seen:?}"))
            })
        })
    }
}

/// What Alertmanager has had since a moment.
struct Watch<'a> {
    alertmanager: &'a Alertmanager,
    began: Instant,
    answered: Instant,
    /// When each alert was first seen, and since when it is not there any more.
    seen: BTreeMap<String, (Instant, Option<Instant>)>,
}

impl<'a> Watch<'a> {
    fn new(alertmanager: &'a Alertmanager) -> Self {
        let now = Instant::now();
        Self {
            alertmanager,
            began: now,
            answered: now,
            seen: BTreeMap::new(),
        }
    }

    fn fires(&self) -> bool {
        self.seen.values().any(|(_, resolved)| resolved.is_none())
    }

    fn look(&mut self) -> Result<()> {
        let now = Instant::now();
        match self.alertmanager.firing(|_| true) {
            Ok(firing) => {
                self.answered = now;
                for alert in &firing {
                    self.seen.entry(alert.clone()).or_insert((now, None)).1 = None;
                }
                for (alert, (_, resolved)) in &mut self.seen {
                    if !firing.contains(alert) {
                        resolved.get_or_insert(now);
                    }
                }
                Ok(())
            }
            Err(_) if self.answered.elapsed() < SILENT => Ok(()),
            Err(error) => Err(error.context("Alertmanager does not answer")),
        }
    }

    fn watch_for(&mut self, duration: Duration) -> Result<()> {
        while self.began.elapsed() < duration {
            self.look()?;
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn row(
        &self,
        fault: &str,
        wanted: &BTreeMap<String, u64>,
        healed: Instant,
        error: Option<&anyhow::Error>,
    ) -> Row {
        let seen = self.seen.iter().map(|(alert, (fired, resolved))| {
            let seen = Seen {
                fired: (*fired - self.began).as_secs_f64(),
                resolved: resolved.map(|at| at.saturating_duration_since(healed).as_secs_f64()),
            };
            (alert.clone(), seen)
        });
        Row {
            fault: fault.to_owned(),
            lasted: healed.saturating_duration_since(self.began).as_secs_f64(),
            alerts: compare(wanted, &seen.collect()),
            error: error.map(|error| format!("{error:#}")),
        }
    }
}

/// Those with these names, or all.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Fault>> {
    only::chosen("fault", FAULTS.iter().collect(), |fault| fault.name, names)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_alert_is_of_a_fault_or_left_out_and_one_of_a_fault_needs_no_longer_than_a_quarter_of_an_hour() {
        let holding_times = holding_times().unwrap();
        let mut covered: Vec<&str> = LEFT_OUT.iter().map(|(alert, _)| *alert).collect();
        for fault in &FAULTS {
            for (alert, seconds) in wanted(fault, &holding_times).unwrap() {
                assert!(seconds <= 15 * 60, "{}: {alert} takes {seconds} s", fault.name);
            }
            covered.extend(fault.alerts.iter().map(|(alert, _)| alert));
        }
        let covered: BTreeSet<&str> = covered.into_iter().collect();
        let alerts: BTreeSet<&str> = holding_times.keys().map(String::as_str).collect();
        assert_eq!(covered, alerts);
    }

    #[test]
    fn an_alert_is_wanted_once_its_expression_was_evaluated_and_held_for_its_time() {
        let fault = &chosen(&["standby-frozen".to_owned()]).unwrap()[0];
        let wanted = wanted(
            fault,
            &BTreeMap::from([
                ("RatesStandbyMissing".to_owned(), 300),
                ("RatesTargetDown".to_owned(), 60),
            ]),
        );
        assert_eq!(
            wanted.unwrap(),
            BTreeMap::from([
                ("RatesStandbyMissing".to_owned(), 25 + 40 + 300),
                ("RatesTargetDown".to_owned(), 25 + 40 + 60),
            ])
        );
    }
}
