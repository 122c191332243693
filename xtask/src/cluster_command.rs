//! `cargo xtask cluster`: the local clusters alone, for people who work on them.

use anyhow::Result;

use crate::{cluster, images};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Start a cluster and print how to reach it
    Up {
        /// `dev` or `test`
        name: String,
        #[arg(long, default_value_t = 1)]
        nodes: u8,
    },
    /// End a cluster and remove all of it
    Down {
        /// `dev` or `test`
        name: String,
    },
    /// Print all that a cluster could leave behind on this machine, one line a thing
    Snapshot,
}

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Up { name, nodes } => start(name, *nodes),
        Command::Down { name } => cluster::down(name),
        Command::Snapshot => {
            print!("{}", cluster::Snapshot::take()?);
            Ok(())
        }
    }
}

fn start(name: &str, nodes: u8) -> Result<()> {
    let binaries = cluster::binaries()?;
    let pause = images::build(&[images::Image::Pause])?;
    let pause = pause
        .first()
        .map(|built| (built.reference.as_str(), built.archive.as_path()));
    let spec = cluster::ClusterSpec {
        name: name.to_owned(),
        nodes,
        pause_image: pause
            .map(|(reference, _)| reference.to_owned())
            .unwrap_or_default(),
        forwarder: None,
    };
    let running = cluster::up(&spec, &binaries)?;
    running.import_images(pause.as_slice())?;
    println!("export KUBECONFIG={}", running.kubeconfig.display());
    println!("export PATH={}:$PATH", binaries.folder.display());
    Ok(())
}
