//! Ending a cluster, in whatever state it is.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::cgroup::Hierarchies;
use super::mounts;
use super::network::link_prefix;
use super::process::Identity;
use super::state::{self, CLUSTERS, FORWARDERS, State};
use host::command;
use host::terminal::{Step, note};

const PATIENCE: Duration = Duration::from_mins(1);

/// Ends the cluster and removes all of it. Says so when there is none.
pub fn down(name: &str) -> Result<()> {
    if !down_if_there(name)? {
        note(format_args!("there is no cluster {name}"));
    }
    Ok(())
}

/// The supervisor of the cluster, alive; none where there is none.
pub fn supervisor_of(name: &str) -> Option<Identity> {
    State::of(name).supervisor().filter(Identity::is_alive)
}

/// Ends the cluster and removes all of it; false when there is none.
pub fn down_if_there(name: &str) -> Result<bool> {
    if !FORWARDERS.contains(&name) {
        super::network::Network::of(name)?;
    }
    let state = State::of(name);
    let _lock = state.lock()?;
    let groups = Hierarchies::find()?;
    if !state.folder.exists() && !groups.exist(name) && links(name)?.is_empty() {
        return Ok(false);
    }
    let step = Step::begin(format_args!("end cluster {name}"));
    clear(&state)?;
    step.done();
    Ok(true)
}

/// Ends every cluster, and removes what was built and all else that outlives a clone.
pub fn purge() -> Result<()> {
    for name in CLUSTERS.into_iter().chain(FORWARDERS) {
        down(name)?;
    }
    // Whoever builds, in this clone or another, is not to lose what it is building.
    let _programs = super::binaries::hold_builds()?;
    let root = Path::new(state::ROOT);
    mounts::clear_below(root)?;
    remove_folder(root)
}

/// Removes everything of the cluster that there is, and fails if something stays.
pub fn clear(state: &State) -> Result<()> {
    end(state)?;
    remove_folder(&state.folder)
}

/// Ends the cluster's processes at once, as a loss of power does, and leaves its files.
pub fn crash(name: &str) -> Result<()> {
    end(&State::of(name))
}

/// Ends everything of the cluster that runs, and leaves its files.
pub fn end(state: &State) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let groups = Hierarchies::find()?;
    // Once the supervisor has ended, nothing is started any more.
    if let Some(supervisor) = state.supervisor() {
        supervisor.kill();
    }
    groups.clear(&state.name, deadline)?;
    // One that had not joined the group yet ends by itself, now that there is none.
    while state.supervisor().as_ref().is_some_and(Identity::is_alive) {
        if Instant::now() > deadline {
            bail!("the supervisor of cluster {} does not end", state.name);
        }
        thread::sleep(Duration::from_millis(20));
    }
    // With its last process a node's namespaces go, and all that is in them. The kernel takes a moment
    // for the links; asking for it makes it happen now.
    for link in links(&state.name)? {
        let removed = command::output(Command::new("ip").args(["link", "delete", &link]));
        if removed.is_err() && link_exists(&link) {
            removed?;
        }
    }
    mounts::clear_below(&state.folder)
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
