//! What many Previews take that sleep: memory of those that watch them, and requests at rest.

use std::collections::BTreeMap;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use client::wait::{Look, until};
use serde::Serialize;
use serde_json::{Value, json};

use local_cluster::Running;

use super::objects::{apply_all, kubectl, preview};
use super::usage::Usage;

const NAMESPACE: &str = "asleep";
const SYSTEM: &str = "rates-system";
/// So many are applied by one `kubectl apply`.
const AT_ONCE: usize = 100;
/// For so long nothing is done, and the requests are counted.
const REST: Duration = Duration::from_mins(2);
/// What a cluster writes by itself, asleep or not: leases, and the status of its nodes.
const OF_THE_CLUSTER: [&str; 4] = ["leases", "nodes", "tokenreviews", "subjectaccessreviews"];

/// Many that sleep.
#[derive(Debug, Serialize)]
pub struct Asleep {
    count: usize,
    /// Seconds from the first apply until the last one slept.
    seconds: f64,
    /// The operator and the activators, with none and with all of them.
    before: Usage,
    after: Usage,
    pods: usize,
    rest_seconds: u64,
    /// Requests to the API server in that time that write, by the kind of object.
    writes: BTreeMap<String, f64>,
    reads: f64,
}

impl Asleep {
    pub fn writes(&self) -> f64 {
        self.writes.values().fold(0.0, |sum, number| sum + number)
    }
}

/// Applies environments that are to sleep from the beginning, and looks at them at rest.
pub fn measure(running: &Running, count: usize) -> Result<Asleep> {
    kubectl(running, &["create", "namespace", NAMESPACE])?;
    let before = Usage::of(running, SYSTEM)?;
    let started = Instant::now();
    let items: Vec<Value> = (1..=count).map(to_sleep).collect();
    for some in items.chunks(AT_ONCE) {
        apply_all(running, some)?;
    }
    until("all of them sleep", Duration::from_mins(20), || {
        let phases = "jsonpath={.items[*].status.phase}";
        let phases = kubectl(
            running,
            &["get", "renv", "--namespace", NAMESPACE, "--output", phases],
        )?;
        let asleep = phases.split(' ').filter(|phase| *phase == "Asleep").count();
        Ok(if asleep == count {
            Look::Holds(())
        } else {
            Look::NotYet(format!("{asleep} of {count}"))
        })
    })?;
    let seconds = started.elapsed().as_secs_f64();
    thread::sleep(Duration::from_secs(30));
    let first = Requests::until_now(running)?;
    thread::sleep(REST);
    let last = Requests::until_now(running)?;
    let pods = kubectl(
        running,
        &["get", "pods", "--namespace", NAMESPACE, "--output=name"],
    )?;
    Ok(Asleep {
        count,
        seconds,
        before,
        after: Usage::of(running, SYSTEM)?,
        pods: pods.lines().count(),
        rest_seconds: REST.as_secs(),
        writes: last.writes_since(&first),
        reads: last.reads - first.reads,
    })
}

fn to_sleep(number: usize) -> Value {
    let mut preview = preview(NAMESPACE, number);
    preview["metadata"]["annotations"] = json!({"rates.internal/sleep": "now"});
    preview
}

/// What the API server counted.
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

impl fmt::Display for Asleep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            seconds,
            before,
            after,
            pods,
            rest_seconds,
            writes,
            reads,
        } = self;
        write!(
            formatter,
            "{count} slept {seconds:.0} s after the apply, with {pods} pods; the operator and the activators took {before} \
             before and {after} with them; in {rest_seconds} s at rest the API server was written to {:.0} times {writes:?} and \
             read {reads:.0} times",
            self.writes()
        )
    }
}
