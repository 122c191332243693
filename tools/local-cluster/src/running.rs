//! A cluster that runs, for those who use it.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, anyhow};

use host::command;
use host::terminal::Step;

#[derive(Clone, Debug)]
pub struct Running {
    pub kubeconfig: PathBuf,
    pub kubectl: PathBuf,
    pub nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub address: std::net::Ipv4Addr,
    /// The socket of the node's containerd.
    pub containerd: PathBuf,
}

impl Running {
    /// A command of kubectl on this cluster.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        // A proxy meant for the internet is not asked for the cluster's addresses.
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("NO_PROXY", "*")
            .env("no_proxy", "*");
        command
    }

    /// Makes the cluster the one that a program finds, with kubectl and these programs.
    pub fn lead(&self, program: &mut Command, programs: &[&Path]) -> Result<()> {
        let programs = std::iter::once(self.kubectl.as_path()).chain(programs.iter().copied());
        let mut path: Vec<_> = programs.filter_map(Path::parent).map(Path::to_path_buf).collect();
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        program
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PATH", env::join_paths(path).context("PATH cannot be extended")?);
        Ok(())
    }

    /// Brings images, each with the archive that holds it, to every node that does not have them yet.
    pub fn import_images(&self, images: &[(&str, &Path)]) -> Result<()> {
        thread::scope(|scope| {
            let imports: Vec<_> = self
                .nodes
                .iter()
                .map(|node| scope.spawn(|| import(node, images)))
                .collect();
            imports.into_iter().try_for_each(|import| {
                import
                    .join()
                    .map_err(|_| anyhow!("an import of images ended unexpectedly"))?
            })
        })
    }
}

fn import(node: &Node, images: &[(&str, &Path)]) -> Result<()> {
    let present = command::output(ctr(node).args(["images", "list", "--quiet"]))?;
    let present: BTreeSet<_> = present.lines().collect();
    for (reference, archive) in images {
        if !present.contains(reference) {
            let step = Step::begin(format_args!("import {reference} to {}", node.name));
            command::output(ctr(node).args(["images", "import"]).arg(archive))?;
            step.done();
        }
    }
    Ok(())
}

fn ctr(node: &Node) -> Command {
    let mut command = Command::new("ctr");
    command
        .arg("--address")
        .arg(&node.containerd)
        .args(["--namespace", "k8s.io"]);
    command
}
