//! Ending a cluster, in whatever state it is.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::cgroup::Hierarchies;
use super::mounts;
use super::network::link_prefix;
use super::process::Identity;
use super::state::State;
use crate::command;
use crate::terminal::{Step, note};

const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the cluster and removes all of it. Says so when there is none.
pub fn down(name: &str) -> Result<()> {
    super::network::Network::of(name)?;
    let state = State::of(name);
    let _lock = state.lock()?;
    if !state.folder.exists() && Hierarchies::find()?.members(name).is_empty() && links(name)?.is_empty() {
        note(format_args!("there is no cluster {name}"));
    }
    let step = Step::begin(format_args!("end cluster {name}"));
    clear(&state)?;
    step.done();
    Ok(())
}

/// Ends every local cluster.
pub fn down_all() -> Result<()> {
    ["dev", "test"].into_iter().try_for_each(down)
}

/// Removes everything of the cluster that there is, and fails if something stays.
pub fn clear(state: &State) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let groups = Hierarchies::find()?;
    // Once the supervisor has ended, nothing is started any more.
    if let Some(supervisor) = state.supervisor() {
        supervisor.kill();
    }
    groups.kill_all(&state.name, deadline)?;
    // One that was ended before it could join the group has started nothing yet.
    if state.supervisor().as_ref().is_some_and(Identity::is_alive) {
        bail!("the supervisor of cluster {} does not end", state.name);
    }
    // With its last process a node's namespaces go, and all that is in them. The kernel takes a moment
    // for the links; asking for it makes it happen now.
    for link in links(&state.name)? {
        let removed = command::output(Command::new("ip").args(["link", "delete", &link]));
        if removed.is_err() && link_exists(&link) {
            removed?;
        }
    }
    groups.remove(&state.name, deadline)?;
    mounts::clear_below(&state.folder)?;
    remove_folder(&state.folder)
}

/// The cluster's links on the host.
fn links(name: &str) -> Result<Vec<String>> {
    let prefix = link_prefix(name);
    let entries = fs::read_dir("/sys/class/net").context("cannot list the network's links")?;
    Ok(entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|link| link.starts_with(&prefix))
        .collect())
}

fn link_exists(link: &str) -> bool {
    Path::new("/sys/class/net").join(link).exists()
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
