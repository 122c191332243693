//! `cargo xtask cluster`: the local clusters alone, for people who work on them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use host::terminal::note;
use images::Image;
use local_cluster::faults::{Fault, Faults};
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
    /// Harm a running cluster until `heal`: a node that is cut off, frozen or lost, or an API server that is away
    Fault {
        /// `dev` or `test`
        name: String,
        #[arg(value_enum)]
        kind: FaultKind,
        /// The node; 1 has the control plane
        #[arg(long, default_value_t = 1)]
        node: u8,
        /// For `cut-pods`: from the pods of these nodes
        #[arg(long, value_delimiter = ',')]
        from: Vec<u8>,
    },
    /// End every fault of a running cluster
    Heal {
        /// `dev` or `test`
        name: String,
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

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum FaultKind {
    /// No packet leaves the node or reaches it
    Cut,
    /// No packet between the node and the API server
    CutFromApiServer,
    /// No packet between the node's pods and those of other nodes
    CutPods,
    /// No process of the node runs
    Frozen,
    /// The node has no power
    Lost,
    /// The API server refuses connections
    ApiServerAway,
    /// The API server takes connections and answers nothing
    ApiServerStalled,
}

impl FaultKind {
    fn of(self, node: u8, from: Vec<u8>) -> Fault {
        match self {
            Self::Cut => Fault::Cut { node },
            Self::CutFromApiServer => Fault::CutFromApiServer { node },
            Self::CutPods => Fault::CutPods { node, from },
            Self::Frozen => Fault::Frozen { node },
            Self::Lost => Fault::Lost { node },
            Self::ApiServerAway => Fault::ApiServerAway,
            Self::ApiServerStalled => Fault::ApiServerStalled,
        }
    }
}

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Up { name, nodes, fresh } => start(name, *nodes, *fresh),
        Command::Fault {
            name,
            kind,
            node,
            from,
        } => {
            let inflicted = Faults::of(name)?.inflict(kind.of(*node, from.clone()))?;
            inflicted.keep();
            note(format_args!("to end it: cargo xtask cluster heal {name}"));
            Ok(())
        }
        Command::Heal { name } => Faults::of(name)?.heal_all(),
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
        volume_mib: None,
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
