//! `kubectl renv logs`: the logs of all parts of an environment, in one stream.

mod arguments;
mod stream;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::canvas;
use crate::cluster::Cluster;
use crate::parts::{self, component_of};
pub use arguments::{Logs, PartName};
use stream::{Line, Source, read};

/// How soon a new pod is noticed.
const AGAIN: Duration = Duration::from_secs(1);

pub async fn run(arguments: &Logs) -> Result<()> {
    let cluster = Cluster::connect(&arguments.one.target).await?;
    let environment = cluster.environment(&arguments.one.name).await?;
    let sources = sources(&cluster, arguments).await?;
    if sources.is_empty() && !arguments.follow {
        eprintln!(
            "no pods: {} is {}: {}",
            environment.key(),
            environment.phase(),
            environment.message()
        );
        return Ok(());
    }
    if arguments.follow {
        return follow(&cluster, arguments, sources).await;
    }
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let mut readers: JoinSet<()> = sources
        .into_iter()
        .map(|source| read(cluster.clone(), source, arguments.clone(), sender.clone()))
        .collect();
    drop(sender);
    let mut lines = Vec::new();
    while let Some(line) = receiver.recv().await {
        lines.push(line);
    }
    while readers.join_next().await.is_some() {}
    // Of one container they are in order; among several the clocks of the nodes decide.
    lines.sort_by(|one, other| one.at.cmp(&other.at));
    let text: String = lines
        .iter()
        .map(|line| line.printed(arguments.timestamps))
        .collect();
    canvas::write(&text)
}

/// Prints lines as they come, and reads the logs of pods that come later.
async fn follow(cluster: &Cluster, arguments: &Logs, mut found: BTreeSet<Source>) -> Result<()> {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Line>();
    let mut known = BTreeSet::new();
    let mut readers = JoinSet::new();
    let mut first = true;
    let mut look = tokio::time::interval(AGAIN);
    loop {
        for source in found.difference(&known) {
            let mut arguments = arguments.clone();
            if !first {
                // All that a pod said that came meanwhile is new.
                (arguments.since, arguments.tail) = (None, None);
            }
            readers.spawn(read(cluster.clone(), source.clone(), arguments, sender.clone()));
        }
        known.extend(found.iter().cloned());
        first = false;
        loop {
            tokio::select! {
                Some(line) = receiver.recv() => canvas::write(&line.printed(arguments.timestamps))?,
                _ = look.tick() => break,
            }
        }
        while readers.try_join_next().is_some() {}
        // A look that failed is not the end of the streams.
        if let Ok(now) = sources(cluster, arguments).await {
            found = now;
        }
    }
}

/// The containers that have begun, of the parts that were asked for.
async fn sources(cluster: &Cluster, arguments: &Logs) -> Result<BTreeSet<Source>> {
    let pods = parts::list::<Pod>(cluster, &arguments.one.name).await;
    let pods = pods.map_err(|error| cluster.explain(error, "list pods"))?;
    let is_wanted = |pod: &&Pod| {
        arguments.part.is_empty()
            || arguments
                .part
                .iter()
                .any(|part| part.component() == component_of(*pod))
    };
    Ok(pods.iter().filter(is_wanted).flat_map(containers).collect())
}

fn containers(pod: &Pod) -> Vec<Source> {
    let status = pod.status.clone().unwrap_or_default();
    let uid = pod.uid().unwrap_or_default();
    let all = status
        .init_container_statuses
        .into_iter()
        .chain(status.container_statuses)
        .flatten();
    all.filter(|container| {
        let state = container.state.clone().unwrap_or_default();
        state.running.is_some() || state.terminated.is_some() || container.restart_count > 0
    })
    .map(|container| Source {
        pod: pod.name_any(),
        container: container.name,
        uid: uid.clone(),
        // One that was started again has another log.
        restarts: container.restart_count,
    })
    .collect()
}
