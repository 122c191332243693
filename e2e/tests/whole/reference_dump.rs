//! An environment seeded from a real dump answers exactly what is in the dump's text.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use client::dump::Dump;
use client::environment::Environment;
use client::http::Client;
use flate2::Compression;
use flate2::write::GzEncoder;
use libtest_mimic::{Failed, Trial};
use serde_json::json;

/// Names the dump; unset, the test is ignored; set and missing, it fails.
const VARIABLE: &str = "RATES_REFERENCE_DUMP";

pub fn trials() -> Vec<Trial> {
    let path = std::env::var(VARIABLE).ok();
    let ignored = path.is_none();
    let test = move || {
        let path = path.unwrap_or_default();
        answers_are_those_of_the_dump(&path).map_err(|error| Failed::from(format!("{error:?}")))
    };
    vec![
        Trial::test(
            "reference_dump::as_gzip_in_a_config_map_gives_every_pair_and_day",
            test,
        )
        .with_ignored_flag(ignored),
    ]
}

fn answers_are_those_of_the_dump(path: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("{VARIABLE}={path}"))?;
    let dump = Dump::parse(&text)?;

    let environment = Environment::new("reference")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("dump.sql.gz");
    let mut gzip = GzEncoder::new(fs::File::create(&file)?, Compression::best());
    gzip.write_all(text.as_bytes())?;
    gzip.finish()?;
    let from_file = format!("--from-file=dump.sql.gz={}", file.display());
    environment
        .kubectl
        .run(["create", "configmap", "reference-dump", &from_file])?;
    environment.apply(&json!({
        "profile": "Preview",
        "database": {"version": "13.5", "seed": {"configMap": {"name": "reference-dump", "key": "dump.sql.gz"}}},
    }))?;
    environment.wait_ready()?;

    let seed = &environment.object()?["status"]["database"]["seed"];
    ensure!(
        seed["rows"] == dump.rows,
        "status says {seed}, the dump has {} prices",
        dump.rows
    );
    let version = environment.psql("SELECT version()")?;
    ensure!(version.starts_with("PostgreSQL 13.5 "), "{version}");
    ensure!(environment.psql("SELECT 'alive'")? == "alive");

    let compared = compare(&dump, &environment.client()?)?;
    println!(
        "{compared} days of {} pairs equal the dump",
        dump.ports.len() * dump.ports.len()
    );
    Ok(())
}

/// Asks for every pair of ports over the whole span of the dump; gives the number of days compared.
fn compare(dump: &Dump, client: &Client) -> Result<usize> {
    let (from, to) = dump.span().context("a dump without a day")?;
    let ports: Vec<&String> = dump.ports.iter().collect();
    let halves = ports.split_at(ports.len() / 2);
    std::thread::scope(|scope| {
        let workers: Vec<_> = [halves.0, halves.1]
            .into_iter()
            .map(|origins| {
                let (client, from, to) = (client.clone(), &from, &to);
                scope.spawn(move || compare_from(dump, &client, origins, from, to))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a worker panicked")))
            })
            .sum()
    })
}

fn compare_from(dump: &Dump, client: &Client, origins: &[&String], from: &str, to: &str) -> Result<usize> {
    let mut compared = 0;
    let mut wrong = String::new();
    for orig in origins {
        for dest in &dump.ports {
            let rates = client.rates(orig, dest, from, to)?;
            ensure!(
                rates.first().is_some_and(|rate| rate["day"] == to),
                "{orig} to {dest}: newest first"
            );
            ensure!(
                rates.last().is_some_and(|rate| rate["day"] == from),
                "{orig} to {dest}: oldest last"
            );
            for rate in &rates {
                let day = rate["day"].as_str().context("an entry without a day")?;
                let expected = dump.expected(orig, dest, day);
                if *rate != expected {
                    writeln!(wrong, "{orig} to {dest}: {rate} instead of {expected}")?;
                }
                compared += 1;
            }
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(compared)
}
