//! One environment of each size, and the same asked of one after the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use client::environment::Environment;
use client::http::Client;
use client::kubectl::Kubectl;
use serde_json::{Value, json};

use super::report::{Report, Size};

const INSTANCES: [u8; 3] = [1, 2, 3];
const BATCH_ROWS: u32 = 50_000;
const READERS: usize = 8;
const READS_FOR: Duration = Duration::from_secs(5);
const READ: &str = "/rates?date_from=2021-01-01&date_to=2021-01-10&orig_code=CNGGZ&dest_code=EETLL";
/// What a fresh environment does after it is Ready is not what it takes.
const SETTLE: Duration = Duration::from_secs(20);

struct Subject {
    environment: Environment,
    client: Client,
    token: String,
    size: Size,
}

/// Makes the environments one after the other, and asks them in turn.
pub fn measure(rounds: usize) -> Result<Report> {
    let mut subjects = INSTANCES.into_iter().map(begin).collect::<Result<Vec<_>>>()?;
    thread::sleep(SETTLE);
    for subject in &mut subjects {
        subject.size.memory_bytes = memory(&subject.environment)?;
    }
    for round in 0..rounds {
        for subject in &mut subjects {
            let seconds = batch(subject, round)?;
            subject.size.batch_seconds.push(seconds);
            let reads = reads(&subject.client)?;
            subject.size.reads_per_second.push(reads);
        }
    }
    Ok(Report {
        processors: thread::available_parallelism().map_or(0, usize::from),
        sizes: subjects.into_iter().map(|subject| subject.size).collect(),
    })
}

fn begin(instances: u8) -> Result<Subject> {
    let environment = Environment::new(&format!("of-{instances}"))?;
    let applied = Instant::now();
    environment.apply(&json!({
        "profile": "Staging",
        "database": {"instances": instances, "seed": {"bundled": {}}},
        "api": {"replicas": 1},
    }))?;
    environment.wait_ready()?;
    let ready = applied.elapsed().as_secs_f64();
    let mut available = None;
    if instances > 1 {
        let target = format!("ratesenvironment/{}", environment.name);
        let condition = "--for=condition=HighlyAvailable";
        environment
            .kubectl
            .run(["wait", &target, condition, "--timeout=240s"])?;
        available = Some(applied.elapsed().as_secs_f64());
    }
    Ok(Subject {
        client: environment.client()?,
        token: environment.ingest_token()?,
        size: Size {
            instances,
            ready,
            highly_available: available,
            memory_bytes: Vec::new(),
            batch_seconds: Vec::new(),
            reads_per_second: Vec::new(),
        },
        environment,
    })
}

/// The working set of each database pod, as its kubelet counts it.
fn memory(environment: &Environment) -> Result<Vec<u64>> {
    let cluster = Kubectl::new("default");
    let nodes = cluster.run(["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"])?;
    let mut found = Vec::new();
    for node in nodes.split_whitespace() {
        let path = format!("/api/v1/nodes/{node}/proxy/stats/summary");
        let summary: Value = serde_json::from_str(&cluster.run(["get", "--raw", &path])?)
            .context("the kubelet's summary is no JSON")?;
        let pods = summary["pods"].as_array();
        let prefix = format!("{}-postgres-", environment.name);
        let ours = pods.into_iter().flatten().filter(|pod| {
            let name = pod["podRef"]["name"].as_str().unwrap_or_default();
            pod["podRef"]["namespace"] == environment.kubectl.namespace() && name.starts_with(&prefix)
        });
        found.extend(ours.filter_map(|pod| pod["memory"]["workingSetBytes"].as_u64()));
    }
    ensure!(
        !found.is_empty(),
        "no kubelet knows the memory of {}",
        environment.name
    );
    Ok(found)
}

/// A batch on days of its own, until it is acknowledged.
fn batch(subject: &Subject, round: usize) -> Result<f64> {
    let year = 2040 + round;
    let row = |row| format!("CNGGZ,EETLL,{year}-01-{:02},{}\n", 1 + row % 31, 100 + row % 900);
    let rows: String = (0..BATCH_ROWS).map(row).collect();
    let content = format!("orig_code,dest_code,day,price\n{rows}");
    let began = Instant::now();
    let response = subject.client.post_csv(&subject.token, &[], &content)?;
    ensure!(response.status == 201, "{} {}", response.status, response.body);
    Ok(began.elapsed().as_secs_f64())
}

/// Reads a second, of callers that each ask again as soon as they have their answer.
fn reads(client: &Client) -> Result<f64> {
    let answered = AtomicUsize::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                scope.spawn(|| {
                    while began.elapsed() < READS_FOR {
                        let response = client.get(READ)?;
                        ensure!(response.status == 200, "{} {}", response.status, response.body);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        for reader in readers {
            match reader.join() {
                Ok(read) => read?,
                Err(_) => bail!("a reader panicked"),
            }
        }
        Ok(())
    })?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let answered = answered.into_inner() as f64;
    Ok(answered / began.elapsed().as_secs_f64())
}
