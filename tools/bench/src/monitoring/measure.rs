//! One environment a case: load, until the ladder names the rung; the remedy, until it does not any more.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use client::environment::{Environment, PATIENCE};
use client::monitoring::Monitoring;
use client::prometheus::Prometheus;
use client::wait::{Look, until};
use monitoring::RUNGS;
use serde_json::{Value, json};

use super::cases::{Case, Relief};
use super::costs;
use super::load::Stop;
use super::report::{Report, Row};

/// As in the alerts.
const SATURATED: f64 = 0.9;
const LOOK: Duration = Duration::from_secs(1);
/// The load goes on for so long after the remedy: the rules look back for two minutes.
const RELIEVED: Duration = Duration::from_mins(4);
const NAMED: Duration = Duration::from_mins(4);

/// Plays the cases one after the other.
pub fn measure(cases: &[Case]) -> Result<Report> {
    let monitoring = Monitoring::install(&[])?;
    let prometheus = monitoring.prometheus()?;
    let mut rows = Vec::new();
    let mut costs = None;
    for case in cases {
        println!("{}: {}", case.rung, case.cause);
        match play(&prometheus, case, &mut costs) {
            Ok(row) => {
                println!("{row}");
                rows.push(row);
            }
            Err(error) => println!("{}: {error:#}", case.rung),
        }
    }
    Ok(Report { rows, costs })
}

fn play(prometheus: &Prometheus, case: &Case, costs: &mut Option<costs::Costs>) -> Result<Row> {
    let environment = Environment::new(&format!("rung-{}", case.rung.replace('_', "-")))?;
    environment.apply(&spec(&case.spec))?;
    environment.wait_ready()?;
    let ladder = || values(prometheus, &environment);
    let before = until(format_args!("{} is known", case.rung), PATIENCE, || {
        let ladder = ladder()?;
        Ok(match value(&ladder, case.rung) {
            Some(value) if first(&ladder).is_none() => Look::Holds(value),
            _ => Look::NotYet(format!("{ladder:?}")),
        })
    })?;
    if costs.is_none() {
        *costs = Some(costs::of(prometheus, &environment)?);
    }
    let stop = Stop::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| (case.load)(&environment, &stop));
        let measured = under_load(case, &environment, &ladder, before);
        stop.store(true, Ordering::Relaxed);
        let loaded = load.join().map_err(|_| anyhow!("the load panicked"))?;
        let row = measured?;
        if row.named.is_none() {
            loaded?;
        }
        Ok(row)
    })
}

fn under_load(
    case: &Case,
    environment: &Environment,
    ladder: &dyn Fn() -> Result<Vec<(String, f64)>>,
    before: f64,
) -> Result<Row> {
    let began = Instant::now();
    let mut row = Row::new(case, before);
    while began.elapsed() < NAMED {
        let seen = ladder()?;
        row.loaded = value(&seen, case.rung).unwrap_or(row.loaded).max(row.loaded);
        match first(&seen) {
            Some(rung) if rung == case.rung => {
                row.named = Some(began.elapsed().as_secs_f64());
                break;
            }
            Some(rung) => row.others.extend((!row.others.contains(&rung)).then_some(rung)),
            None => {}
        }
        thread::sleep(LOOK);
    }
    match &case.relieve {
        Relief::Spec(patch) => {
            let patch = json!({"spec": patch}).to_string();
            let target = format!("ratesenvironment/{}", environment.name);
            environment
                .kubectl
                .run(["patch", &target, "--type=merge", "--patch", &patch])?;
        }
        Relief::Act(act) => act(environment)?,
    }
    let relieved = Instant::now();
    while relieved.elapsed() < RELIEVED {
        thread::sleep(LOOK);
        if let Some(value) = value(&ladder()?, case.rung) {
            row.relieved = value;
            if value < SATURATED / 2.0 {
                break;
            }
        }
    }
    row.relieved_after = relieved.elapsed().as_secs_f64();
    Ok(row)
}

/// What every case's environment has, with what this one has beside.
fn spec(case: &Value) -> Value {
    let mut spec = json!({
        "profile": "Staging",
        "database": {"storage": {"size": "1Gi"}, "seed": {"bundled": {}}},
        "api": {"replicas": 1},
        "monitoring": {"podMonitor": false},
    });
    for part in ["database", "api"] {
        for (name, value) in case[part].as_object().into_iter().flatten() {
            spec[part][name] = value.clone();
        }
    }
    spec
}

fn values(prometheus: &Prometheus, environment: &Environment) -> Result<Vec<(String, f64)>> {
    let series = prometheus.query(&format!(
        "{{__name__=~\"rates:saturation:.+\", namespace={:?}, environment={:?}}}",
        environment.kubectl.namespace(),
        environment.name
    ))?;
    Ok(series
        .into_iter()
        .filter_map(|series| {
            let name = series.labels["__name__"].as_str()?;
            Some((
                name.trim_start_matches("rates:saturation:").to_owned(),
                series.value,
            ))
        })
        .collect())
}

fn value(ladder: &[(String, f64)], rung: &str) -> Option<f64> {
    ladder
        .iter()
        .find(|(name, _)| name == rung)
        .map(|(_, value)| *value)
}

/// The lowest saturated rung.
fn first(ladder: &[(String, f64)]) -> Option<String> {
    RUNGS
        .into_iter()
        .find(|rung| value(ladder, rung).is_some_and(|value| value >= SATURATED))
        .map(str::to_owned)
}
