//! A copy in another namespace holds what its source shares, masked, and nothing else.

use std::time::Instant;

use anyhow::{Result, ensure};
use client::environment::{Environment, PATIENCE, condition};
use client::http::Client;
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "copies::are_made_with_consent_alone_sampled_and_masked",
        are_made_with_consent,
    )]
}

/// Pairs of ports that are compared, those that are in the sample and those that are not.
const PAIRS: usize = 60;

fn source(sharing: &Value) -> Value {
    json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}, "sharing": sharing})
}

fn are_made_with_consent() -> Result<()> {
    let original = Environment::new("lender")?;
    original.apply(&source(&json!([])))?;
    original.wait_ready()?;
    let copy = Environment::new("borrower")?;
    let spec = json!({
        "profile": "Preview",
        "database": {"version": "17", "seed": {"environment": {"name": "lender", "namespace": original.kubectl.namespace()}}},
    });
    copy.apply(&spec)?;
    until("a copy without consent says what to do", PATIENCE, || {
        let seeded = condition(&copy.object()?, "Seeded");
        Ok(if seeded["reason"] == "NotShared" {
            Look::Holds(())
        } else {
            Look::NotYet(seeded.to_string())
        })
    })?;
    original.apply(&source(&json!([{
        "namespaces": [copy.kubectl.namespace()], "sample": 50,
        "mask": {"days": {"shift": 7}, "portNames": {"constant": "a port"}},
    }])))?;
    copy.wait_ready()?;
    let copied = copy.object()?["status"]["database"]["seed"]["copied"].clone();
    let rows = copy.psql("SELECT count(*) FROM prices")?;
    ensure!(
        copied["rows"]["prices"].to_string() == rows,
        "{copied}, and {rows} prices are there"
    );
    ensure!(copied["sample"] == 50, "{copied}");
    ensure!(copy.psql("SELECT DISTINCT name FROM ports")? == "a port");
    ensure!(original.psql("SELECT count(*) FROM ports")? == copy.psql("SELECT count(*) FROM ports")?);
    let (present, absent) = compare(&original, &copy)?;
    ensure!(
        present > 0 && absent > 0,
        "{present} pairs of {PAIRS} were copied"
    );
    nothing_is_left_to_log_in_with(&original, &copy)?;

    // How long one takes that may copy at once.
    drop(copy);
    let copy = Environment::new("borrower-2")?;
    original.apply(&source(&json!([{"namespaces": ["*"]}])))?;
    let applied = Instant::now();
    let spec = json!({
        "profile": "Preview",
        "database": {"seed": {"environment": {"name": "lender", "namespace": original.kubectl.namespace()}}},
    });
    copy.apply(&spec)?;
    copy.wait_ready()?;
    println!(
        "a copy of the bundled data was Ready {:.1} s after its apply",
        applied.elapsed().as_secs_f64()
    );
    let prices = "SELECT count(*) || ' ' || sum(price) || ' ' || min(day) || ' ' || max(day) FROM prices";
    ensure!(original.psql(prices)? == copy.psql(prices)?);
    Ok(())
}

/// How many pairs are in the copy with all that the original has of them, and how many are not there at all.
fn compare(original: &Environment, copy: &Environment) -> Result<(usize, usize)> {
    let pairs = original.psql(&format!(
        "SELECT string_agg(pair, ' ') FROM (SELECT DISTINCT orig_code || ' ' || dest_code AS pair FROM prices ORDER BY 1 LIMIT {PAIRS}) AS pairs"
    ))?;
    let codes: Vec<&str> = pairs.split(' ').collect();
    let (ours, theirs) = (original.client()?, copy.client()?);
    let mut counts = (0, 0);
    for pair in codes.chunks(2) {
        let [from, to] = pair else { continue };
        let wanted = answers(&ours, (from, to), ("2021-01-01", "2021-01-31"))?;
        let found = answers(&theirs, (from, to), ("2021-01-08", "2021-02-07"))?;
        if found == wanted {
            counts.0 += 1;
        } else {
            let total =
                format!("SELECT count(*) FROM prices WHERE orig_code = '{from}' AND dest_code = '{to}'");
            ensure!(
                copy.psql(&total)? == "0",
                "{from} to {to}: {found:?} in place of {wanted:?}"
            );
            counts.1 += 1;
        }
    }
    Ok(counts)
}

/// Counts and prices by day, without the days.
fn answers(client: &Client, (from, to): (&str, &str), days: (&str, &str)) -> Result<Vec<(Value, Value)>> {
    let rates = client.rates(from, to, days.0, days.1)?;
    let values = |rate: &Value| (rate["count"].clone(), rate["price"].clone());
    Ok(rates.iter().map(values).collect())
}

/// The login and what it could read are gone once the copy is made.
fn nothing_is_left_to_log_in_with(original: &Environment, copy: &Environment) -> Result<()> {
    let secrets = copy.objects()?;
    ensure!(
        !secrets.contains(&"Secret/borrower-copy".to_owned()),
        "{secrets:?}"
    );
    until(
        "the source has no login and no schema of the copy",
        PATIENCE,
        || {
            let left = original.psql(
                "SELECT (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'rates\\_copy\\_%') + \
             (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'rates\\_share\\_%')",
            )?;
            Ok(if left == "0" {
                Look::Holds(())
            } else {
                Look::NotYet(left)
            })
        },
    )
}
