//! `cargo xtask down`: the end of what `up` started.

use std::fs;

use anyhow::{Context as _, Result};

use host::{lock, packages, preflight, workspace};
use install::access_folder;

#[derive(clap::Args)]
pub struct Arguments {
    /// The cluster to end: `dev` (of `up`) or `test` (of a test run that was cut off)
    #[arg(long, default_value = local_cluster::DEV)]
    cluster: String,
    /// End every cluster, and remove the built programs and images, too
    #[arg(long, conflicts_with = "cluster")]
    purge: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    preflight::root()?;
    if arguments.purge {
        // Whoever builds or installs, in this clone or another, is not to lose what it is at.
        let _images = images::hold_builds()?;
        let _packages = packages::hold()?;
        let _dependencies = lock::hold(
            &workspace::machine_state().join("locks/dependencies"),
            "a run of .ci/dependencies",
        )?;
        local_cluster::purge()?;
        return forget();
    }
    local_cluster::down(&arguments.cluster)?;
    if arguments.cluster == local_cluster::DEV {
        // What `up --context` started instead of a cluster.
        local_cluster::down_if_there(local_cluster::FORWARD_ONLY)?;
        local_cluster::down_if_there(local_cluster::MONITORING)?;
        forget()?;
    }
    Ok(())
}

/// Removes what this clone knew of the cluster.
fn forget() -> Result<()> {
    let folder = access_folder();
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
