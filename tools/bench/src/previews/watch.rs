//! When each part of an environment was there, from what `kubectl get --watch` tells as it happens.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Deserializer, Value};

use local_cluster::Running;

/// The parts, in the order in which they come; the first is of the volume's claim, the others are conditions.
pub const PARTS: [&str; 5] = ["volume", "database", "seed", "migration", "API"];
const CONDITIONS: [&str; 4] = ["DatabaseReady", "Seeded", "Migrated", "ApiAvailable"];

/// When the parts of one environment were there.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub parts: [Option<Instant>; PARTS.len()],
    pub ready: Instant,
}

/// What is known of one environment.
#[derive(Debug, Default)]
struct Seen {
    parts: [Option<Instant>; PARTS.len()],
    ready: Option<Instant>,
    message: String,
}

/// Two watches on one namespace; dropped, they end.
pub struct Watch {
    children: Vec<Child>,
    events: Receiver<(Instant, Value)>,
    seen: BTreeMap<String, Seen>,
}

impl Watch {
    pub fn start(running: &Running, namespace: &str) -> Result<Self> {
        let (sender, events) = channel();
        let children = ["ratesenvironments", "persistentvolumeclaims"]
            .map(|kind| follow(running, namespace, kind, sender.clone()))
            .into_iter()
            .collect::<Result<_>>()?;
        Ok(Self {
            children,
            events,
            seen: BTreeMap::new(),
        })
    }

    /// Waits until so many are Ready; gives the times of those that are, also when the wait was too long.
    pub fn until_ready(&mut self, count: usize, patience: Duration) -> Vec<Times> {
        let deadline = Instant::now() + patience;
        while self.seen.values().filter(|seen| seen.ready.is_some()).count() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok((at, object)) = self.events.recv_timeout(left) else {
                break;
            };
            self.take(at, &object);
        }
        let times = |seen: &Seen| {
            Some(Times {
                parts: seen.parts,
                ready: seen.ready?,
            })
        };
        self.seen.values().filter_map(times).collect()
    }

    /// What those that are not Ready say.
    pub fn complaints(&self) -> String {
        let waiting = self.seen.iter().filter(|(_, seen)| seen.ready.is_none());
        let texts: Vec<String> = waiting
            .map(|(name, seen)| format!("{name}: {}", seen.message))
            .collect();
        texts.join("; ")
    }

    fn take(&mut self, at: Instant, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if object["kind"] == "PersistentVolumeClaim" {
            let environment = object["metadata"]["labels"]["app.kubernetes.io/instance"].as_str();
            if let (Some(environment), "Bound") = (
                environment,
                object["status"]["phase"].as_str().unwrap_or_default(),
            ) {
                let seen = self.seen.entry(environment.to_owned()).or_default();
                seen.parts[0].get_or_insert(at);
            }
            return;
        }
        let seen = self.seen.entry(name.to_owned()).or_default();
        object["status"]["message"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut seen.message);
        let conditions = object["status"]["conditions"].as_array();
        for condition in conditions
            .into_iter()
            .flatten()
            .filter(|condition| condition["status"] == "True")
        {
            let kind = condition["type"].as_str().unwrap_or_default();
            if kind == "Ready" {
                seen.ready.get_or_insert(at);
            }
            if let Some(part) = CONDITIONS.iter().position(|known| *known == kind) {
                seen.parts[part + 1].get_or_insert(at);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn follow(running: &Running, namespace: &str, kind: &str, sender: Sender<(Instant, Value)>) -> Result<Child> {
    let mut child = running
        .kubectl()
        .args(["get", kind, "--namespace", namespace, "--watch", "--output=json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start kubectl")?;
    let output = child.stdout.take().context("kubectl has no output")?;
    thread::spawn(move || {
        let objects = Deserializer::from_reader(BufReader::new(output)).into_iter::<Value>();
        for object in objects.map_while(Result::ok) {
            if sender.send((Instant::now(), object)).is_err() {
                return;
            }
        }
    });
    Ok(child)
}
