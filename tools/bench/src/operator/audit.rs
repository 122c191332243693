//! What the API server was asked, by its audit log: who, what, when.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// Requests of one user in a span of time.
#[derive(Debug, Default)]
pub struct Requests {
    /// By verb and kind, `watch` aside: those are few and long.
    pub counts: BTreeMap<String, usize>,
    /// Writes of anything but leases, Events and the environments' status.
    pub child_writes: usize,
    /// Writes of anything but leases and Events.
    pub writes: usize,
    pub refused: usize,
    pub last_child_write: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    user: User,
    verb: String,
    object_ref: Option<Object>,
    stage_timestamp: Timestamp,
    response_status: Option<Status>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct Object {
    resource: Option<String>,
    subresource: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

/// The requests that a user made, and that were answered after a moment.
pub fn requests(log: &Path, user: &str, since: Timestamp) -> Result<Requests> {
    let file = File::open(log).with_context(|| format!("cannot read {}", log.display()))?;
    let mut requests = Requests::default();
    for line in BufReader::new(file).lines() {
        let line = line.context("cannot read the audit log")?;
        // The last one may be half-written.
        let Ok(line) = serde_json::from_str::<Line>(&line) else {
            continue;
        };
        if line.user.username == user && line.stage_timestamp >= since {
            requests.take(&line);
        }
    }
    Ok(requests)
}

impl Requests {
    fn take(&mut self, line: &Line) {
        let Some(object) = &line.object_ref else { return };
        let resource = object.resource.as_deref().unwrap_or_default();
        let kind = match &object.subresource {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource.to_owned(),
        };
        if line.verb == "watch" {
            return;
        }
        *self.counts.entry(format!("{} {kind}", line.verb)).or_default() += 1;
        let code = line.response_status.as_ref().and_then(|status| status.code);
        if code.is_some_and(|code| code >= 400 && code != 404) {
            self.refused += 1;
        }
        let reads = matches!(line.verb.as_str(), "get" | "list");
        if reads || matches!(resource, "leases" | "events") {
            return;
        }
        self.writes += 1;
        if resource != "ratesenvironments" {
            self.child_writes += 1;
            self.last_child_write = self.last_child_write.max(Some(line.stage_timestamp));
        }
    }
}
