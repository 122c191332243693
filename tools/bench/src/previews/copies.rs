//! How soon a copy of a running environment is Ready, and what the callers of its source notice meanwhile.

use std::fmt::{Display, Formatter, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use client::http::Client;
use client::wait::{Look, until};
use serde::Serialize;
use serde_json::{Value, json};

use host::terminal::note;
use local_cluster::Running;

use super::objects::{self, PATIENCE, apply_all, environment, kubectl};
use super::watch::Watch;

const NAMESPACE: &str = "copies";
const RATES: &str = "/rates?date_from=2021-01-31&date_to=2021-01-31&orig_code=CNGGZ&dest_code=EETLL";
/// Batches of a million rows that make a large source.
const BATCHES: u32 = 5;
const ROWS: u32 = 1_000_000;
/// How long the source is read before a copy of it begins.
const QUIET: Duration = Duration::from_secs(10);
/// Between two reads: some 200 a second.
const PAUSE: Duration = Duration::from_millis(5);

/// One copy, and how long reads of its source took.
#[derive(Debug, Serialize)]
pub struct Copied {
    pub prices: u64,
    /// Seconds from the apply until it was Ready.
    pub ready: f64,
    /// Seconds of the copy itself.
    pub loaded: f64,
    /// Milliseconds.
    pub p99_quiet: f64,
    pub p99_meanwhile: f64,
}

impl Display for Copied {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        let Self {
            prices,
            ready,
            loaded,
            p99_quiet,
            p99_meanwhile,
        } = self;
        write!(
            formatter,
            "A copy of {prices} prices was Ready after {ready:.1} s, {loaded:.1} s of them copying; p99 of reads of the source \
             {p99_quiet:.1} ms quiet, {p99_meanwhile:.1} ms meanwhile"
        )
    }
}

/// A copy of the bundled data, and one of these and five million prices more.
pub fn measure(running: &Running) -> Result<[Copied; 2]> {
    kubectl(running, &["create", "namespace", NAMESPACE])?;
    let spec = json!({
        "profile": "Staging",
        "database": {"seed": {"bundled": {}}, "storage": {"size": "5Gi"}},
        "sharing": [{"namespaces": [NAMESPACE]}],
    });
    apply_all(running, &[environment(NAMESPACE, "source", &spec)])?;
    ready(running, 1)?;
    let get = |what: &[&str]| {
        kubectl(
            running,
            &[&["get", "--namespace", NAMESPACE, "--output"], what].concat(),
        )
    };
    let address = get(&["jsonpath={.spec.clusterIP}", "service/source-api"])?;
    let source = format!("http://{address}");
    // The nodes' proxies learn of its pods a moment after these are ready.
    until("the source answers", PATIENCE, || {
        Ok(match Client::new(&source).get(RATES) {
            Ok(_) => Look::Holds(()),
            Err(error) => Look::NotYet(error.to_string()),
        })
    })?;
    let small = copy(running, &source, "small")?;
    let token = get(&[
        "go-template={{index .data \"ingest-token\" | base64decode}}",
        "secret/source-api",
    ])?;
    for number in 0..BATCHES {
        let response = Client::new(&source).post_csv(&token, &[], &rows(number))?;
        ensure!(response.status == 201, "{response:?}");
    }
    let large = copy(running, &source, "large")?;
    objects::remove(running, NAMESPACE)?;
    Ok([small, large])
}

/// Prices of many days and of all pairs of ten ports, none twice in a batch.
fn rows(batch: u32) -> String {
    const PORTS: [&str; 10] = [
        "CNGGZ", "CNYTN", "CNSHA", "EETLL", "FIHEL", "NLRTM", "BEANR", "GBFXT", "DEHAM", "SEGOT",
    ];
    let mut csv = "orig_code,dest_code,day,price\n".to_owned();
    for row in 0..ROWS {
        let (pair, day) = (row as usize % 100, row / 100 % 336);
        let (month, day) = (day / 28 + 1, day % 28 + 1);
        let price = 500 + (row.wrapping_mul(2_654_435_761) >> 20);
        let _ = writeln!(
            csv,
            "{},{},{}-{month:02}-{day:02},{price}",
            PORTS[pair / 10],
            PORTS[pair % 10],
            2022 + batch
        );
    }
    csv
}

/// Makes a copy while the source is read.
fn copy(running: &Running, source: &str, name: &str) -> Result<Copied> {
    let (quiet, ()) = read_while(source, || thread::sleep(QUIET))?;
    let spec = json!({"profile": "Preview", "database": {
        "seed": {"environment": {"name": "source"}}, "storage": {"size": "5Gi"},
    }});
    let (meanwhile, took) = read_while(source, || -> Result<f64> {
        let started = Instant::now();
        apply_all(running, &[environment(NAMESPACE, name, &spec)])?;
        ready(running, 2)?;
        Ok(started.elapsed().as_secs_f64())
    })?;
    let object = kubectl(
        running,
        &["get", "renv", name, "--namespace", NAMESPACE, "--output=json"],
    )?;
    let object: Value = serde_json::from_str(&object).context("the environment is no JSON")?;
    let seed = &object["status"]["database"]["seed"];
    let copied = Copied {
        prices: seed["rows"].as_u64().context("the status has no rows")?,
        ready: took?,
        loaded: seed["seconds"].as_f64().context("the status has no seconds")?,
        p99_quiet: p99(quiet),
        p99_meanwhile: p99(meanwhile),
    };
    note(&copied);
    kubectl(
        running,
        &["delete", "renv", name, "--namespace", NAMESPACE, "--wait=true"],
    )?;
    Ok(copied)
}

fn ready(running: &Running, count: usize) -> Result<()> {
    let mut watch = Watch::start(running, NAMESPACE)?;
    ensure!(
        watch.until_ready(count, PATIENCE).len() == count,
        "{}",
        watch.complaints()
    );
    Ok(())
}

/// The milliseconds of each read during something.
fn read_while<T>(source: &str, act: impl FnOnce() -> T) -> Result<(Vec<f64>, T)> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let reads = scope.spawn(|| {
            let client = Client::new(source);
            let mut took = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                let response = client.get(RATES)?;
                ensure!(response.status == 200, "{response:?}");
                took.push(began.elapsed().as_secs_f64() * 1000.0);
                thread::sleep(PAUSE);
            }
            Ok(took)
        });
        let done = act();
        over.store(true, Ordering::Relaxed);
        let reads = reads.join().map_err(|_| anyhow!("the reads panicked"))??;
        Ok((reads, done))
    })
}

fn p99(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}
