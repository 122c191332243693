//! Pods ended at random moments, during creation and after it: always Ready in the
//! end, with the same data, seeded once. And crashes in a row.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use client::environment::{Environment, PATIENCE, bundled_rate};
use client::kubectl::Kubectl;
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::trial::trial;

/// How often something is ended.
const ROUNDS: usize = 20;
/// How many rounds run at once.
const LANES: usize = 3;
/// Creation takes about this long on a busy machine; the moment is drawn from it.
const CREATION: Duration = Duration::from_secs(14);

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "faults::twenty_pods_ended_at_random_moments_change_nothing",
        twenty_pods_ended,
    )]
}

pub fn measured() -> Trial {
    trial(
        "faults::a_database_whose_processes_are_all_killed_five_times_in_a_row_is_back_in_seconds",
        five_crashes_in_a_row,
    )
}

/// The aim is 6 s, on a machine that does nothing else. The kubelet alone took 87 s for the fifth crash.
const BACK_AFTER_CRASH: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
enum Victim {
    Api,
    /// All processes of the database pod at once, as a crash does it.
    DatabaseCrash,
    DatabasePod,
    SeedJob,
    Operator,
}

#[derive(Clone, Copy, Debug)]
enum Moment {
    /// This long after `kubectl apply`, or as soon as the victim exists after that.
    During(Duration),
    After,
}

/// One thing to end, and when.
#[derive(Clone, Copy, Debug)]
struct Round {
    number: usize,
    victim: Victim,
    moment: Moment,
}

/// Each victim comes up in turn; the moments are drawn.
fn plan(random: &mut fastrand::Rng) -> Vec<Round> {
    let during = [
        Victim::SeedJob,
        Victim::DatabaseCrash,
        Victim::Operator,
        Victim::DatabasePod,
        Victim::Api,
        Victim::SeedJob,
    ];
    let after = [
        Victim::Api,
        Victim::DatabaseCrash,
        Victim::Operator,
        Victim::DatabasePod,
    ];
    (0..ROUNDS)
        .map(|number| {
            // Two of three during creation, where there is more to break.
            let (victim, moment) = if number % 3 == 2 {
                (after[(number / 3) % after.len()], Moment::After)
            } else {
                let turn = number - number / 3;
                let millis = random.u64(0..u64::try_from(CREATION.as_millis()).unwrap_or(u64::MAX));
                (
                    during[turn % during.len()],
                    Moment::During(Duration::from_millis(millis)),
                )
            };
            Round {
                number,
                victim,
                moment,
            }
        })
        .collect()
}

fn twenty_pods_ended() -> Result<()> {
    let seed = std::env::var("RATES_E2E_SEED")
        .ok()
        .map_or_else(|| Ok(fastrand::u64(..)), |text| text.parse())?;
    println!("faults: RATES_E2E_SEED={seed}");
    let rounds = plan(&mut fastrand::Rng::with_seed(seed));
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let Some(round) = rounds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = play(round)
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push(format!("{round:?}: {error:?}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    ensure!(
        failures.is_empty(),
        "{} of {ROUNDS} rounds failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    Ok(())
}

fn play(round: &Round) -> Result<()> {
    let environment = Environment::new(&format!("fault-{}", round.number))?;
    let applied = Instant::now();
    environment.apply(&json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}}))?;
    match round.moment {
        Moment::During(delay) => {
            until("the moment", PATIENCE, || {
                Ok(if applied.elapsed() >= delay {
                    Look::Holds(())
                } else {
                    Look::NotYet(String::new())
                })
            })?;
        }
        Moment::After => drop(environment.wait_ready()?),
    }
    let ended = end(&environment, round.victim)?;
    let at = applied.elapsed();
    settled(&environment)?;
    println!(
        "faults: round {}: {:?} ended {ended} at {:.1} s ({:?}), Ready with the same data at {:.1} s",
        round.number,
        round.victim,
        at.as_secs_f64(),
        round.moment,
        applied.elapsed().as_secs_f64(),
    );
    Ok(())
}

fn five_crashes_in_a_row() -> Result<()> {
    let environment = Environment::new("five-crashes")?;
    environment.apply(&json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}}))?;
    environment.wait_ready()?;
    let selector = "app.kubernetes.io/component=postgres";
    let pods = environment.kubectl.list("pods", selector)?;
    let pod = pods[0]["metadata"]["name"].as_str().context("no pod")?;
    let mut times = Vec::new();
    for _ in 0..5 {
        environment.kubectl.crash_database(pod)?;
        let crashed = Instant::now();
        until("the database takes writes", PATIENCE, || {
            environment
                .psql("SELECT pg_logical_emit_message(true, 'crash', '') IS NOT NULL")
                .map(Look::Holds)
        })?;
        times.push(crashed.elapsed());
    }
    println!("faults: five crashes in a row, writes after {times:.1?}");
    ensure!(
        times.iter().all(|time| *time < BACK_AFTER_CRASH),
        "writes after {times:.1?}"
    );
    environment.wait_ready()?;
    let pods = environment.kubectl.list("pods", selector)?;
    for container in pods[0]["status"]["containerStatuses"]
        .as_array()
        .context("no containers")?
    {
        ensure!(
            container["restartCount"] == 0,
            "the kubelet restarted a container: {container}"
        );
    }
    Ok(())
}

/// Ends the victim as soon as it exists; says what was ended. A Job that has done
/// its work by the drawn moment is ended all the same, as its finished pod.
fn end(environment: &Environment, victim: Victim) -> Result<String> {
    let (kubectl, component) = match victim {
        Victim::Operator => (Kubectl::new("rates-system"), "operator"),
        Victim::Api => (environment.kubectl.clone(), "api"),
        Victim::DatabaseCrash | Victim::DatabasePod => (environment.kubectl.clone(), "postgres"),
        Victim::SeedJob => (environment.kubectl.clone(), "seed"),
    };
    let selector = if matches!(victim, Victim::Operator) {
        "app.kubernetes.io/name=rates-operator".to_owned()
    } else {
        format!("app.kubernetes.io/component={component}")
    };
    let pod = until(format_args!("a pod of {component}"), PATIENCE, || {
        let pods = kubectl.list("pods", &selector)?;
        let name = pods
            .iter()
            .find_map(|pod| pod["metadata"]["name"].as_str())
            .map(str::to_owned);
        Ok(name.map_or_else(|| Look::NotYet("no pod".to_owned()), Look::Holds))
    })?;
    if matches!(victim, Victim::DatabaseCrash) {
        if kubectl.crash_database(&pod).is_ok() {
            return Ok(format!("every process of {pod}"));
        }
        // Before its container runs, there is nothing to crash but the pod.
    }
    kubectl.run([
        "delete",
        "pod",
        &pod,
        "--grace-period=0",
        "--force",
        "--wait=false",
        "--ignore-not-found",
    ])?;
    Ok(format!("pod {pod}"))
}

/// Ready, and the data is the seed's, once.
fn settled(environment: &Environment) -> Result<()> {
    environment.wait_ready()?;
    let expected = bundled_rate();
    until("the API answers from the seed", PATIENCE, || {
        let rates = environment
            .client()?
            .rates("CNGGZ", "EETLL", "2021-01-01", "2021-01-31")?;
        let right = rates.len() == 31 && rates[0] == expected;
        Ok(if right {
            Look::Holds(())
        } else {
            Look::NotYet(Value::from(rates).to_string())
        })
    })?;
    environment.wait_ready()?;
    let object = environment.object()?;
    let rows = object["status"]["database"]["seed"]["rows"]
        .as_u64()
        .context("status says no rows")?;
    let counted = until("psql answers", PATIENCE, || {
        environment
            .psql("SELECT (SELECT count(*) FROM prices) || ' ' || (SELECT count(*) FROM rates_internal.seed)")
            .map(Look::Holds)
    })?;
    ensure!(
        counted == format!("{rows} 1"),
        "prices and seeds are {counted}, expected {rows} and 1"
    );
    let scratch =
        environment.psql("SELECT count(*) FROM pg_database WHERE datname LIKE 'rates\\_seed\\_%'")?;
    ensure!(scratch == "0", "{scratch} scratch databases were left behind");
    Ok(())
}
