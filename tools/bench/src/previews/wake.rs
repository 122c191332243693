//! How soon a Preview that sleeps answers its first request.

use std::fmt::{Display, Formatter};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use client::http::Client;
use client::wait::{Look, until};
use serde::Serialize;
use serde_json::Value;

use local_cluster::Running;

use super::objects::{self, PATIENCE, apply, kubectl};
use super::watch::Watch;

const NAMESPACE: &str = "wake";
/// As `apply` names the first.
const NAME: &str = "renv/pr-1";
const RATES: &str = "/rates?date_from=2021-01-31&date_to=2021-01-31&orig_code=CNGGZ&dest_code=EETLL";

/// Seconds until the first answer, each round's, from the shortest to the longest.
#[derive(Debug, Serialize)]
pub struct Wakes(Vec<f64>);

impl Wakes {
    /// A measured value that so many of a hundred do not exceed.
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(rank).copied().unwrap_or(f64::NAN)
    }
}

impl Display for Wakes {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let (p50, p99) = (self.percentile(50), self.percentile(99));
        let rounds = self.0.len();
        write!(
            formatter,
            "{rounds} times asleep, seconds to the first answer: p50 {p50:.1}, p99 {p99:.1}"
        )
    }
}

/// One Preview, put to sleep and woken by a request so many times.
pub fn measure(running: &Running, rounds: u8) -> Result<Wakes> {
    kubectl(running, &["create", "namespace", NAMESPACE])?;
    let mut watch = Watch::start(running, NAMESPACE)?;
    apply(running, NAMESPACE, 1)?;
    ensure!(
        watch.until_ready(1, PATIENCE).len() == 1,
        "{}",
        watch.complaints()
    );
    drop(watch);
    let field = |what: &str, path: &str| {
        kubectl(
            running,
            &[
                "get",
                what,
                "--namespace",
                NAMESPACE,
                "--output",
                &format!("jsonpath={path}"),
            ],
        )
    };
    let address = field("service/pr-1-api", "{.spec.clusterIP}")?;
    let mut seconds = Vec::new();
    for _ in 0..rounds {
        phase_is("Ready", || field(NAME, "{.status.phase}"))?;
        kubectl(
            running,
            &[
                "annotate",
                NAME,
                "--namespace",
                NAMESPACE,
                "rates.internal/sleep=now",
            ],
        )?;
        phase_is("Asleep", || field(NAME, "{.status.phase}"))?;
        let started = Instant::now();
        // A connection of its own, as of somebody who was not there before.
        let response = Client::new(format!("http://{address}")).get(RATES)?;
        let took = started.elapsed();
        let rates: Value = response.json().context("no answer of the API")?;
        ensure!(
            response.status == 200 && rates["rates"][0]["count"] == 3,
            "{response:?}"
        );
        seconds.push(took.as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    objects::remove(running, NAMESPACE)?;
    Ok(Wakes(seconds))
}

fn phase_is(wanted: &str, phase: impl Fn() -> Result<String>) -> Result<()> {
    until(
        format_args!("the Preview is {wanted}"),
        Duration::from_mins(2),
        || {
            let phase = phase()?;
            Ok(if phase == wanted {
                Look::Holds(())
            } else {
                Look::NotYet(phase)
            })
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let wakes = Wakes((1..=20).map(f64::from).collect());
        assert!((wakes.percentile(50) - 10.0).abs() < f64::EPSILON);
        assert!((wakes.percentile(99) - 20.0).abs() < f64::EPSILON);
    }
}
