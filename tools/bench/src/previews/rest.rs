//! What the API server is asked while nobody does anything.

use std::collections::BTreeMap;
use std::fmt;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use local_cluster::Running;

use super::objects::kubectl;

const TIME: Duration = Duration::from_mins(2);
/// What a cluster writes by itself: leases, and the status of its nodes.
const OF_THE_CLUSTER: [&str; 4] = ["leases", "nodes", "tokenreviews", "subjectaccessreviews"];

/// Requests to the API server in some time.
#[derive(Debug, Serialize)]
pub struct Rest {
    seconds: u64,
    /// Those that write, by the kind of object.
    writes: BTreeMap<String, f64>,
    reads: f64,
}

impl Rest {
    /// Counts the requests of two minutes.
    pub fn watch(running: &Running) -> Result<Self> {
        let before = Requests::until_now(running)?;
        thread::sleep(TIME);
        let after = Requests::until_now(running)?;
        Ok(Self {
            seconds: TIME.as_secs(),
            writes: after.writes_since(&before),
            reads: after.reads - before.reads,
        })
    }

    pub fn writes(&self) -> f64 {
        self.writes.values().fold(0.0, |sum, number| sum + number)
    }

    pub fn writes_per_second(&self) -> f64 {
        self.writes() / TIME.as_secs_f64()
    }
}

/// What the API server counted since its start.
struct Requests {
    writes: BTreeMap<String, f64>,
    reads: f64,
}

impl Requests {
    fn until_now(running: &Running) -> Result<Self> {
        let metrics = kubectl(running, &["get", "--raw", "/metrics"])?;
        let mut requests = Self {
            writes: BTreeMap::new(),
            reads: 0.0,
        };
        let lines = metrics
            .lines()
            .filter_map(|line| line.strip_prefix("apiserver_request_total{"));
        for line in lines {
            let (labels, number) = line.rsplit_once("} ").context("a metric without a value")?;
            let number: f64 = number.parse().context("a metric that is no number")?;
            let label = |name: &str| {
                let (_, rest) = labels.split_once(&format!("{name}=\""))?;
                Some(rest.split_once('"')?.0)
            };
            let resource = label("resource").unwrap_or_default();
            match label("verb") {
                _ if OF_THE_CLUSTER.contains(&resource) => {}
                Some("POST" | "PUT" | "PATCH" | "APPLY" | "DELETE" | "DELETECOLLECTION") => {
                    *requests.writes.entry(resource.to_owned()).or_default() += number;
                }
                _ => requests.reads += number,
            }
        }
        ensure!(requests.reads > 0.0, "the API server's metrics have no requests");
        Ok(requests)
    }

    /// The kinds of which something was written.
    fn writes_since(&self, before: &Self) -> BTreeMap<String, f64> {
        let written = self.writes.iter().map(|(resource, number)| {
            let earlier = before.writes.get(resource).copied().unwrap_or_default();
            (resource.clone(), number - earlier)
        });
        written.filter(|(_, number)| *number > 0.0).collect()
    }
}

impl fmt::Display for Rest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seconds,
            writes,
            reads,
        } = self;
        write!(
            formatter,
            "in {seconds} s at rest the API server was written to {:.0} times {writes:?} and read {reads:.0} times",
            self.writes()
        )
    }
}
