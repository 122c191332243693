//! The API through its Service: the original's contract, and a database that goes away.

use std::time::Duration;

use anyhow::{Result, ensure};
use client::environment::Environment;
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::json;

use crate::trial::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "api::answers_malformed_requests_and_goes_on_serving",
            answers_malformed_requests,
        ),
        trial(
            "api::comes_back_after_the_database_without_a_restart",
            comes_back_after_the_database,
        ),
    ]
}

const SPEC: fn() -> serde_json::Value =
    || json!({"profile": "Preview", "database": {"seed": {"bundled": {}}}});

const BATCH: &str = "orig_code,dest_code,day,price\nCNGGZ,EETLL,2022-05-01,10\nCNGGZ,EETLL,2022-05-01,20\n\
                     CNGGZ,EETLL,2022-05-01,60\n";

fn after_the_batch() -> Vec<serde_json::Value> {
    vec![json!({"day": "2022-05-01", "count": 3, "price": 30.0})]
}

fn answers_malformed_requests() -> Result<()> {
    let environment = Environment::new("malformed")?;
    environment.apply(&SPEC())?;
    environment.wait_ready()?;
    let client = environment.client()?;
    let good = "date_from=2021-01-01&date_to=2021-01-31";
    for (query, detail) in [
        (
            "date_from=yesterday&date_to=2021-01-31&orig_code=CNGGZ&dest_code=EETLL".to_owned(),
            "Invalid date arguments",
        ),
        (
            "orig_code=CNGGZ&dest_code=EETLL".to_owned(),
            "Invalid date arguments",
        ),
        (format!("{good}&orig_code=CNGGZ"), "Invalid location arguments"),
        (
            format!("{good}&orig_code=&dest_code=EETLL"),
            "Invalid location arguments",
        ),
    ] {
        let response = client.get(&format!("/rates?{query}"))?;
        ensure!(response.status == 400, "{query}: {response:?}");
        ensure!(
            response.content_type.starts_with("application/problem+json"),
            "{query}: {response:?}"
        );
        ensure!(response.json()?["detail"] == detail, "{query}: {response:?}");
    }
    for (path, status) in [
        ("/rates/", 404),
        ("/nothing", 404),
        ("/", 200),
        ("/healthz", 200),
        ("/readyz", 200),
    ] {
        let response = client.get(path)?;
        ensure!(response.status == status, "{path}: {response:?}");
    }
    let refused = client.post_csv("nobody", &[], BATCH)?;
    ensure!(refused.status == 401, "{refused:?}");
    let token = environment.ingest_token()?;
    let refused = client.post_csv(
        &token,
        &[],
        "orig_code,dest_code,day,price\nXXXXX,EETLL,2022-05-01,0\n",
    )?;
    ensure!(refused.status == 422, "{refused:?}");
    ensure!(
        refused.json()?["errors"].as_array().map(Vec::len) == Some(2),
        "{refused:?}"
    );
    ensure!(environment.psql("SELECT count(*) FROM prices WHERE day >= '2022-01-01'")? == "0");
    ensure!(client.get("/")?.json()? == json!({"message": "Hello world!"}));
    ensure!(client.rates("CNGGZ", "EETLL", "2021-01-31", "2021-01-31")?.len() == 1);
    Ok(())
}

fn comes_back_after_the_database() -> Result<()> {
    let environment = Environment::new("vanishing")?;
    environment.apply(&SPEC())?;
    environment.wait_ready()?;
    let client = environment.client()?;
    let answer = client.rates("CNGGZ", "EETLL", "2021-01-31", "2021-01-31")?;
    let (token, batch) = (
        environment.ingest_token()?,
        [("idempotency-key", "before-the-crash")],
    );
    let posted = client.post_csv(&token, &batch, BATCH)?;
    ensure!(posted.status == 201, "{posted:?}");
    ensure!(client.rates("CNGGZ", "EETLL", "2022-05-01", "2022-05-01")? == after_the_batch());

    let _ = environment.kubectl.crash_database("vanishing-postgres-0");
    until("the same answer as before", Duration::from_secs(90), || {
        let response =
            client.get("/rates?date_from=2021-01-31&date_to=2021-01-31&orig_code=CNGGZ&dest_code=EETLL")?;
        ensure!([200, 503].contains(&response.status), "{response:?}");
        if response.status == 200 {
            ensure!(response.json()?["rates"] == json!(answer), "{response:?}");
            return Ok(Look::Holds(()));
        }
        Ok(Look::NotYet(format!("{response:?}")))
    })?;
    environment.wait_ready()?;
    // What was acknowledged survived, and sending it again gives the same answer and changes nothing.
    let again = client.post_csv(&token, &batch, BATCH)?;
    ensure!((again.status, &again.body) == (201, &posted.body), "{again:?}");
    ensure!(client.rates("CNGGZ", "EETLL", "2022-05-01", "2022-05-01")? == after_the_batch());
    ensure!(environment.psql("SELECT count(*) FROM prices WHERE day = '2022-05-01'")? == "3");
    let pods = environment
        .kubectl
        .list("pods", "app.kubernetes.io/component=api")?;
    for pod in &pods {
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        ensure!(*restarts == 0, "an API pod was restarted {restarts} times");
    }
    Ok(())
}
