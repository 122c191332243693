//! Prometheus' HTTP API: targets, and instant queries.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::http::Client;

pub struct Prometheus {
    address: String,
    client: Client,
}

/// A series, and its value now.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: Value,
    pub value: f64,
}

/// What it scrapes.
#[derive(Clone, Debug)]
pub struct Target {
    pub labels: Value,
    pub url: String,
    pub health: String,
    pub error: String,
}

impl Prometheus {
    #[must_use]
    pub fn new(address: String) -> Self {
        Self {
            client: Client::new(address.clone()),
            address,
        }
    }

    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn targets(&self) -> Result<Vec<Target>> {
        let data = self.get("/api/v1/targets?state=active")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(data["activeTargets"]
            .as_array()
            .context("no list of targets")?
            .iter()
            .map(|target| Target {
                labels: target["labels"].clone(),
                url: text(&target["scrapeUrl"]),
                health: text(&target["health"]),
                error: text(&target["lastError"]),
            })
            .collect())
    }

    /// The series that an expression gives now; a scalar is one without labels.
    pub fn query(&self, expression: &str) -> Result<Vec<Series>> {
        let query: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", expression)
            .finish();
        let data = self.get(&format!("/api/v1/query?{query}"))?;
        let result = &data["result"];
        if data["resultType"] == "scalar" {
            return Ok(vec![series(&Value::Null, &result[1])?]);
        }
        let points = result.as_array().context("no result")?;
        points
            .iter()
            .map(|point| series(&point["metric"], &point["value"][1]))
            .collect()
    }

    fn get(&self, path: &str) -> Result<Value> {
        let response = self.client.get(path)?;
        let mut answer = response.json()?;
        if response.status != 200 {
            bail!("{path}: {} {}", response.status, answer["error"]);
        }
        Ok(answer["data"].take())
    }
}

fn series(labels: &Value, value: &Value) -> Result<Series> {
    let text = value.as_str().context("a sample without a value")?;
    Ok(Series {
        labels: labels.clone(),
        value: text.parse().with_context(|| format!("{text:?} is no value"))?,
    })
}
