//! The API through its Service: the original's contract, and a database that goes away.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::environment::Environment;
use e2e::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::json;

use crate::trial;

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
    // Every process of the database pod, as a crash ends them; a forced deletion would end them in order.
    let crash = [
        "exec",
        "vanishing-postgres-0",
        "--container",
        "postgres",
        "--",
        "sh",
        "-c",
        "kill -9 -1",
    ];
    let _ = environment.kubectl.run(crash);
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
    let pods = environment
        .kubectl
        .list("pods", "app.kubernetes.io/component=api")?;
    for pod in &pods {
        let restarts = &pod["status"]["containerStatuses"][0]["restartCount"];
        ensure!(*restarts == 0, "an API pod was restarted {restarts} times");
    }
    Ok(())
}
