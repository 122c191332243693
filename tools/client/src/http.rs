//! HTTP requests to a Service's address: one connection a request, nothing retried.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use ureq::Agent;

/// A response, read to its end.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

impl Response {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {:?}", self.body))
    }
}

/// A client of one base address such as `http://198.18.128.7`.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    base: String,
}

impl Client {
    /// Status codes are answers here, not errors.
    pub fn new(base: impl Into<String>) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .max_idle_connections(16)
            .proxy(None)
            .build()
            .new_agent();
        Self {
            agent,
            base: base.into(),
        }
    }

    pub fn get(&self, path_and_query: &str) -> Result<Response> {
        let address = format!("{}{path_and_query}", self.base);
        let what = format!("GET {address}");
        read(&what, self.agent.get(&address).call())
    }

    /// Sends a batch in CSV, with further headers.
    pub fn post_csv(&self, token: &str, headers: &[(&str, &str)], csv: &str) -> Result<Response> {
        let address = format!("{}/batches", self.base);
        let mut request = self
            .agent
            .post(&address)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "text/csv");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(&format!("POST {address}"), request.send(csv))
    }

    /// The `rates` of a pair between two days, both included.
    pub fn rates(&self, orig: &str, dest: &str, from: &str, to: &str) -> Result<Vec<Value>> {
        let response = self.get(&format!(
            "/rates?date_from={from}&date_to={to}&orig_code={orig}&dest_code={dest}"
        ))?;
        anyhow::ensure!(response.status == 200, "{} {}", response.status, response.body);
        let answer = response.json()?;
        answer["rates"]
            .as_array()
            .cloned()
            .with_context(|| format!("no list of rates in {answer}"))
    }
}

/// A response to its end.
fn read(what: &str, response: Result<http::Response<ureq::Body>, ureq::Error>) -> Result<Response> {
    let mut response = response.with_context(|| what.to_owned())?;
    let content_type = response
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let body = response
        .body_mut()
        .read_to_string()
        .with_context(|| format!("{what}: reading the body"))?;
    Ok(Response {
        status: response.status().as_u16(),
        content_type,
        body,
    })
}
