//! What many Previews take that sleep: memory of those that watch them, and requests at rest.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use client::wait::{Look, until};
use serde::Serialize;
use serde_json::{Value, json};

use local_cluster::Running;

use super::objects::{apply_all, kubectl, preview};
use super::rest::Rest;
use super::usage::Usage;

const NAMESPACE: &str = "asleep";
const SYSTEM: &str = "rates-system";
/// So many are applied by one `kubectl apply`.
const AT_ONCE: usize = 100;

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
    pub rest: Rest,
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
    let rest = Rest::watch(running)?;
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
        rest,
    })
}

fn to_sleep(number: usize) -> Value {
    let mut preview = preview(NAMESPACE, number);
    preview["metadata"]["annotations"] = json!({"rates.internal/sleep": "now"});
    preview
}

impl fmt::Display for Asleep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            seconds,
            before,
            after,
            pods,
            rest,
        } = self;
        write!(
            formatter,
            "{count} slept {seconds:.0} s after the apply, with {pods} pods; the operator and the activators took {before} \
             before and {after} with them; {rest}"
        )
    }
}
