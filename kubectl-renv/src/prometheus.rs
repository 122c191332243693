//! Prometheus' HTTP API, as far as the ladder needs it: an instant query, and the rules that are loaded.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use http::Request;
use http_body_util::{BodyExt as _, Limited};
use kube::client::Body;
use kube::{Client, Config};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::key::Key;
use crate::rung::PREFIX;

const CONNECT: Duration = Duration::from_secs(3);
const READ: Duration = Duration::from_secs(10);
/// A thousand environments have about 2 MB.
const LARGEST: usize = 64 << 20;

/// One Prometheus, by its address. The HTTP client is the one that also talks to the Kubernetes API.
pub struct Prometheus {
    address: String,
    client: Client,
}

/// One series and its value now.
#[derive(Clone, Debug)]
pub struct Sample {
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}

/// Which environments are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    All,
    Namespace(String),
    One(Key),
}

impl Selection {
    /// The selector of the rungs' series as a query.
    fn query(&self) -> String {
        let series = format!("__name__=~\"{PREFIX}.+\"");
        match self {
            Self::All => format!("{{{series}}}"),
            Self::Namespace(namespace) => format!("{{{series}, namespace={namespace:?}}}"),
            Self::One(key) => format!(
                "{{{series}, namespace={:?}, environment={:?}}}",
                key.namespace, key.name
            ),
        }
    }
}

/// What every answer of the API is wrapped in.
#[derive(Deserialize)]
struct Answer<T> {
    data: Option<T>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Vector {
    result: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    name: String,
}

impl Prometheus {
    pub fn new(address: &str) -> Result<Self> {
        let address = address.trim_end_matches('/');
        let uri: http::Uri = address
            .parse()
            .ok()
            .filter(|uri: &http::Uri| {
                matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.host().is_some_and(|host| !host.is_empty())
            })
            .with_context(|| {
                format!(
                    "--prometheus {address:?} is no address of the form http://HOST:PORT or https://HOST/PATH"
                )
            })?;
        let mut config = Config::new(uri);
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(READ);
        config.default_retry = false;
        Ok(Self {
            address: address.to_owned(),
            client: Client::try_from(config).context("cannot make an HTTP client")?,
        })
    }

    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The newest samples of the rungs of these environments.
    pub async fn saturation(&self, selection: &Selection) -> Result<Vec<Sample>> {
        let query: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", &selection.query())
            .finish();
        let vector: Vector = self.get(&format!("/api/v1/query?{query}")).await?;
        vector.result.into_iter().map(sample).collect()
    }

    /// Whether a rule records one of the rungs.
    pub async fn has_rules(&self) -> Result<bool> {
        let groups: Groups = self.get("/api/v1/rules?type=record").await?;
        Ok(groups
            .groups
            .iter()
            .flat_map(|group| &group.rules)
            .any(|rule| rule.name.starts_with(PREFIX)))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request = Request::get(path).body(Body::empty())?;
        let answer = tokio::time::timeout(CONNECT + READ, self.client.send(request)).await;
        let answer = answer
            .context("no answer in time")
            .and_then(|answer| answer.map_err(anyhow::Error::new))
            .with_context(|| {
                format!(
                    "cannot reach Prometheus at {}; is the port still forwarded? `kubectl renv top --help` says how",
                    self.address
                )
            })?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("{} broke off its answer", self.address))?
            .to_bytes();
        match serde_json::from_slice::<Answer<T>>(&body) {
            Ok(Answer { data: Some(data), .. }) if status.is_success() => Ok(data),
            Ok(Answer {
                error: Some(error), ..
            }) => bail!("Prometheus at {} says {status}: {error}", self.address),
            _ => {
                ensure!(
                    !matches!(status.as_u16(), 401 | 403),
                    "{} says {status}: this command sends no credentials; forward a port past what asks for them",
                    self.address
                );
                bail!(
                    "{} answers as no Prometheus does ({status}); give the address under which its /api/v1/query is",
                    self.address
                )
            }
        }
    }
}

fn sample(point: Point) -> Result<Sample> {
    let text = point.value.1;
    let value = text
        .parse()
        .with_context(|| format!("{text:?} is no value of a sample"))?;
    Ok(Sample {
        labels: point.metric,
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_as_prometheus_writes_them() {
        let answer: Answer<Vector> = serde_json::from_str(
            r#"{"status":"success","data":{"resultType":"vector","result":[
                {"metric":{"__name__":"rates:saturation:log","namespace":"a","environment":"x"},"value":[1700000000.781,"0.5"]},
                {"metric":{},"value":[1700000000,"NaN"]},
                {"metric":{},"value":[1700000000,"+Inf"]}]}}"#,
        )
        .unwrap();
        let samples: Vec<_> = answer
            .data
            .unwrap()
            .result
            .into_iter()
            .map(|point| sample(point).unwrap())
            .collect();
        assert_eq!(samples[0].label("environment"), Some("x"));
        assert!((samples[0].value - 0.5).abs() < f64::EPSILON);
        assert!(samples[1].value.is_nan());
        assert!(samples[2].value.is_infinite());
    }

    #[test]
    fn the_query_names_what_was_selected() {
        let one = Selection::One(Key {
            namespace: "team-a".to_owned(),
            name: "x".to_owned(),
        });
        assert_eq!(
            one.query(),
            r#"{__name__=~"rates:saturation:.+", namespace="team-a", environment="x"}"#
        );
        assert_eq!(Selection::All.query(), r#"{__name__=~"rates:saturation:.+"}"#);
    }

    #[tokio::test]
    async fn what_is_no_address_is_refused() {
        for address in ["localhost:9090", "ftp://x/", "http://", "", "/metrics"] {
            assert!(Prometheus::new(address).is_err(), "{address}");
        }
        assert!(Prometheus::new("https://prometheus.example/prefix/").is_ok());
    }
}
