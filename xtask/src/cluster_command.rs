//! `cargo xtask cluster`: the local clusters alone, for people who work on them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use host::terminal::note;
use images::Image;
use local_cluster::{ClusterSpec, Leftovers, Snapshot};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Start a cluster with nothing in it, and print how to reach it
    Up {
        /// `dev` or `test`
        name: String,
        #[arg(long, default_value_t = 1)]
        nodes: u8,
        /// End and remove the cluster of this name first, with its volumes
        #[arg(long)]
        fresh: bool,
    },
    /// Print all that a cluster could leave behind on this machine, one line a thing
    Snapshot {
        /// Print what has changed since an earlier snapshot instead, and fail if anything has
        #[arg(long)]
        since: Option<PathBuf>,
        /// Leave out what belongs to this cluster
        #[arg(long)]
        without: Option<String>,
    },
}

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Up { name, nodes, fresh } => start(name, *nodes, *fresh),
        Command::Snapshot { since, without } => {
            let mut taken = Snapshot::take()?;
            if let Some(cluster) = without {
                taken = taken.without(cluster);
            }
            match since {
                None => {
                    print!("{taken}");
                    Ok(())
                }
                Some(file) => compare(&taken, file),
            }
        }
    }
}

fn start(name: &str, nodes: u8, fresh: bool) -> Result<()> {
    install::prepare()?;
    if fresh {
        local_cluster::down_if_there(name)?;
    }
    let binaries = local_cluster::binaries()?;
    let pause = images::build(&[Image::Pause])?;
    let pause = pause.first().context("the pause image was not built")?;
    let spec = ClusterSpec {
        name: name.to_owned(),
        nodes,
        pause_image: pause.reference.clone(),
        forwarder: None,
        leftovers: Leftovers::Keep,
        proxy_seconds: None,
    };
    let running = local_cluster::up(&spec, &binaries)?;
    running.import_images(&[(&pause.reference, &pause.archive)])?;
    for node in &running.nodes {
        note(format_args!(
            "{} {} {}",
            node.name,
            node.address,
            node.containerd.display()
        ));
    }
    println!("export KUBECONFIG={}", running.kubeconfig.display());
    println!("export PATH={}:$PATH", binaries.folder.display());
    Ok(())
}

fn compare(now: &Snapshot, file: &Path) -> Result<()> {
    let before = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let changes = now.changes_since(&Snapshot::parse(&before));
    for change in &changes {
        println!("{change}");
    }
    if !changes.is_empty() {
        bail!("{} things have changed since {}", changes.len(), file.display());
    }
    Ok(())
}
