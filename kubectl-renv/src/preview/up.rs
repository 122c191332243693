//! `kubectl renv preview up`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::arguments::{COMMIT, PULL_REQUEST, Up};
use super::template::{Variables, fill, merge, read};
use crate::annotate::{self, WAKE};
use crate::canvas;
use crate::cluster::{Cluster, MANAGER};
use crate::create;
use crate::duration::{parse, print};
use crate::environment::Environment;
use crate::gone::wait_gone;
use crate::list::Listed;
use crate::ready::wait_ready;

/// Which part of a ttl may be missing before it begins anew.
const SHARE: u32 = 20;

/// The longest ttl that an environment may have.
const LONGEST: Duration = Duration::from_hours(8760);

pub async fn run(arguments: &Up) -> Result<()> {
    let numbered = &arguments.numbered;
    let cluster = Cluster::connect(&numbered.target).await?;
    let name = numbered.name();
    let mut existing = numbered.found(&cluster).await?;
    if existing.as_ref().is_some_and(is_leaving) {
        eprintln!(
            "{} is being deleted; it is made anew after that",
            cluster.key(&name)
        );
        wait_gone(&cluster, &name, arguments.timeout).await?;
        existing = None;
    }
    let source = create::source(&cluster, &arguments.specification).await?;
    let mut object = read(arguments.template.as_deref())?;
    let variables = Variables {
        number: numbered.number,
        name: &name,
        commit: arguments.commit.as_deref(),
    };
    fill(&mut object, &variables)?;
    merge(
        &mut object["spec"],
        &arguments.specification.spec(source.as_ref()),
    );
    identify(&mut object, arguments, &cluster)?;
    let spec = object["spec"]
        .as_object()
        .context("the template's spec is no object")?;
    if let Some(ttl) = spec.get("lifetime").and_then(|lifetime| lifetime["ttl"].as_str()) {
        let ttl = lasting(existing.as_ref(), ttl, Timestamp::now())?;
        object["spec"]["lifetime"]["ttl"] = json!(ttl);
    }
    let parameters = PatchParams::apply(MANAGER).force();
    let applied = cluster
        .environments()
        .patch(&name, &parameters, &Patch::Apply(&object))
        .await;
    let applied = Environment::new(
        applied.map_err(|error| cluster.explain(error, &format!("apply environment {name}")))?,
    );
    if applied.status.sleep.is_some() {
        annotate::set(&cluster, &name, WAKE, &Timestamp::now().to_string()).await?;
    }
    let last = if arguments.no_wait {
        applied
    } else {
        wait_ready(&cluster, &name, arguments.timeout).await?
    };
    let said = || match last.status.url.as_ref().filter(|_| last.is_ready()) {
        Some(url) => format!("{} is Ready at {url}\n", last.key()),
        None => format!("{} is applied\n", last.key()),
    };
    canvas::write(
        &arguments
            .output
            .serialised(&Listed::of(&last))?
            .unwrap_or_else(said),
    )
}

fn is_leaving(environment: &Environment) -> bool {
    environment.object.metadata.deletion_timestamp.is_some()
}

/// Gives the object the name, the label and the commit of the pull request.
fn identify(object: &mut Value, arguments: &Up, cluster: &Cluster) -> Result<()> {
    let metadata = &mut object["metadata"];
    ensure!(
        metadata["namespace"].is_null() || metadata["namespace"] == cluster.namespace.as_str(),
        "the template is for namespace {}, and the command for {}: name the same by -n",
        metadata["namespace"],
        cluster.namespace
    );
    metadata["name"] = json!(arguments.numbered.name());
    metadata["namespace"] = json!(cluster.namespace);
    metadata["labels"][PULL_REQUEST] = json!(arguments.numbered.number.to_string());
    if let Some(commit) = &arguments.commit {
        metadata["annotations"][COMMIT] = json!(commit);
    }
    Ok(())
}

/// The ttl by which the environment lives about that long from now on, and no shorter than it would without this.
fn lasting(existing: Option<&Environment>, ttl: &str, now: Timestamp) -> Result<String> {
    let wanted = parse(ttl).map_err(anyhow::Error::msg)?;
    let Some((environment, created)) = existing.and_then(|found| Some((found, found.created()?))) else {
        return Ok(ttl.to_owned());
    };
    let age = u64::try_from(now.duration_since(created).as_secs()).unwrap_or(0);
    let from_now = Duration::from_secs((wanted.as_secs() + age).div_ceil(60) * 60).min(LONGEST.max(wanted));
    // A run soon after another one changes nothing.
    let enough = from_now.saturating_sub(wanted / SHARE);
    let current = environment.spec.lifetime.ttl.as_deref();
    let is_enough = |current: &&str| parse(current).is_ok_and(|current| current >= enough);
    Ok(current
        .filter(is_enough)
        .map_or_else(|| print(from_now), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_begins_anew_and_never_ends_earlier_than_it_did() {
        let existing = |ttl: &str| {
            Environment::new(
                serde_json::from_value(json!({
                    "metadata": {"name": "x", "creationTimestamp": "2031-03-04T00:00:00Z"},
                    "spec": {"lifetime": {"ttl": ttl}},
                }))
                .unwrap(),
            )
        };
        let now: Timestamp = "2031-03-04T10:00:30Z".parse().unwrap();
        assert_eq!(lasting(None, "72h", now).unwrap(), "72h");
        assert_eq!(lasting(Some(&existing("72h")), "72h", now).unwrap(), "82h1m");
        // Somebody extended it.
        assert_eq!(lasting(Some(&existing("200h")), "72h", now).unwrap(), "200h");
        // Another run soon after.
        assert_eq!(lasting(Some(&existing("79h")), "72h", now).unwrap(), "79h");
        assert_eq!(lasting(Some(&existing("8000h")), "8759h", now).unwrap(), "8760h");
    }
}
