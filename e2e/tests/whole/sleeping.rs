//! An environment that sleeps is woken by a request, and no request is lost or sent twice; and its end by `lifetime.ttl`.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use client::environment::{Environment, PATIENCE};
use client::http::{Client, Response};
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::json;

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![trial(
        "sleeping::a_request_wakes_an_environment_and_none_is_lost_or_sent_twice",
        a_request_wakes,
    )]
}

const RATES: &str = "/rates?date_from=2021-01-31&date_to=2021-01-31&orig_code=CNGGZ&dest_code=EETLL";
/// Requests at once to one that sleeps.
const AT_ONCE: usize = 50;
const ROWS: usize = 50_000;

fn a_request_wakes() -> Result<()> {
    let environment = Environment::new("drowsy")?;
    environment.apply(&json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}}))?;
    environment.wait_ready()?;
    let token = environment.ingest_token()?;

    // While it falls asleep: each is answered, by the API or by way of the activator.
    asks_to_sleep(&environment)?;
    let until_when = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until_when {
        answers(&new_client(&environment)?.get(RATES)?)?;
    }

    sleeps(&environment)?;
    answers(&new_client(&environment)?.get(RATES)?)?;

    sleeps(&environment)?;
    let clients: Vec<Client> = (0..AT_ONCE)
        .map(|_| new_client(&environment))
        .collect::<Result<_>>()?;
    let requests: Vec<_> = clients
        .into_iter()
        .map(|client| thread::spawn(move || client.get(RATES)))
        .collect();
    for request in requests {
        let response = request
            .join()
            .map_err(|_| anyhow::anyhow!("a request panicked"))??;
        answers(&response)?;
    }

    sleeps(&environment)?;
    let batch: String = (1..=ROWS)
        .map(|price| format!("CNGGZ,EETLL,2022-02-02,{price}\n"))
        .collect();
    let csv = format!("orig_code,dest_code,day,price\n{batch}");
    let response = new_client(&environment)?.post_csv(&token, &[], &csv)?;
    ensure!(response.status == 201, "{response:?}");
    let applied = environment.psql("SELECT count(*) FROM prices WHERE day = DATE '2022-02-02'")?;
    ensure!(applied == ROWS.to_string(), "{applied} rows of {ROWS}");

    sleeps(&environment)?;
    let broken = json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}, "api": {"image": "localhost/none:1"}});
    environment.apply(&broken)?;
    let response = until("the reason is told", PATIENCE, || {
        let response = new_client(&environment)?.get(RATES)?;
        let told = response.status == 503 && response.body.contains("cannot start");
        Ok(if told {
            Look::Holds(response)
        } else {
            Look::NotYet(response.body)
        })
    })?;
    ensure!(response.body.contains("localhost/none:1"), "{response:?}");

    // Older than that already.
    environment.apply(
        &json!({"profile": "Preview", "lifetime": {"ttl": "1m"}, "database": {"seed": {"bundled": {}}}}),
    )?;
    until("nothing of it is left", PATIENCE, || {
        let left = environment.objects()?;
        Ok(if left.is_empty() {
            Look::Holds(())
        } else {
            Look::NotYet(left.join(" "))
        })
    })
}

/// Its connections are new, as those of other callers are.
fn new_client(environment: &Environment) -> Result<Client> {
    environment.client()
}

fn answers(response: &Response) -> Result<()> {
    ensure!(
        response.status == 200 && response.body.contains("1154.3333333333333"),
        "{response:?}"
    );
    Ok(())
}

fn asks_to_sleep(environment: &Environment) -> Result<()> {
    let object = format!("renv/{}", environment.name);
    environment
        .kubectl
        .run(["annotate", &object, "rates.internal/sleep=now", "--overwrite"])?;
    Ok(())
}

/// Has it sleep, and waits until it has no pod.
fn sleeps(environment: &Environment) -> Result<()> {
    environment.wait_ready()?;
    asks_to_sleep(environment)?;
    until("it sleeps without a pod", PATIENCE, || {
        let phase = environment.object()?["status"]["phase"].clone();
        let pods = environment.kubectl.run(["get", "pods", "-o", "name"])?;
        let asleep = phase == "Asleep"
            && pods
                .lines()
                .all(|pod| pod.contains("-seed-") || pod.contains("-migrate-"));
        Ok(if asleep {
            Look::Holds(())
        } else {
            Look::NotYet(format!("{phase} {pods}"))
        })
    })
}
