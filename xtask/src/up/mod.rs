//! `cargo xtask up`: from a fresh clone to an environment that answers.

mod context;
mod environment;
mod install;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, anyhow};

use crate::cluster::{self, ClusterSpec, Forwarder, KubeBinaries, Running};
use crate::images::{self, Built, Image};
use crate::terminal::Step;
use crate::{command, packages, preflight, workspace};

/// What `up` leaves running: the sample environment and its Service.
const ENVIRONMENT: &str = "development";
const NAMESPACE: &str = "default";
const SERVICE: &str = "development-api";
const SERVICE_PORT: u16 = 80;

#[derive(clap::Args)]
pub struct Arguments {
    /// How many nodes the local cluster has
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(cluster::MAX_NODES)), conflicts_with = "context")]
    nodes: u8,
    /// The port of 127.0.0.1 that leads to the environment
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Use the cluster of this context of your kubeconfig instead of a local one
    #[arg(long, requires = "registry")]
    context: Option<String>,
    /// Where that cluster pulls images from, for example registry.example/rates
    #[arg(long, requires = "context")]
    registry: Option<String>,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    preflight::machine()?;
    preflight::port(preflight::local(arguments.port), cluster_name(arguments))?;
    packages::install()?;
    match (&arguments.context, &arguments.registry) {
        (Some(context), Some(registry)) => context::run(context, registry, arguments.port),
        _ => local(arguments),
    }
}

fn cluster_name(arguments: &Arguments) -> &'static str {
    if arguments.context.is_some() {
        cluster::FORWARD_ONLY
    } else {
        "dev"
    }
}

fn local(arguments: &Arguments) -> Result<()> {
    let spec = ClusterSpec {
        name: "dev".to_owned(),
        nodes: arguments.nodes,
        pause_image: pause_image()?,
        forwarder: Some(Forwarder {
            listen: preflight::local(arguments.port),
            namespace: NAMESPACE.to_owned(),
            service: SERVICE.to_owned(),
            port: SERVICE_PORT,
        }),
        proxy_seconds: None,
    };
    let (running, binaries) = with_operator(&spec)?;
    write_access(&running, &binaries)?;
    environment::apply_and_wait(&|| running.kubectl(), ENVIRONMENT)?;
    environment::answers(preflight::local(arguments.port))?;
    print_access();
    Ok(())
}

/// The image that a cluster needs before it can start.
pub fn pause_image() -> Result<String> {
    let built = images::build(&[Image::Pause])?;
    Ok(built.into_iter().next().context("no image was built")?.reference)
}

/// Builds everything, starts the cluster, and installs the operator on it.
pub fn with_operator(spec: &ClusterSpec) -> Result<(Running, KubeBinaries)> {
    let (running, binaries) = thread::scope(|scope| -> Result<_> {
        // The processors are the bottleneck of a first run; packages are fetched and unpacked beside them.
        let postgres = scope.spawn(|| images::build(&[Image::Pause, Image::Postgres13, Image::Postgres17]));
        let programs = scope.spawn(compile);
        let binaries = cluster::binaries()?;
        let running = cluster::up(spec, &binaries)?;
        join(programs)?;
        join(postgres)?;
        Ok((running, binaries))
    })?;
    install_images(&running)?;
    Ok((running, binaries))
}

/// Starts the cluster, and installs the operator on it. What is compiled already is taken as it is.
pub fn with_compiled_operator(spec: &ClusterSpec, binaries: &KubeBinaries) -> Result<Running> {
    let running = cluster::up(spec, binaries)?;
    install_images(&running)?;
    Ok(running)
}

/// Brings the images to the cluster, built where they are missing, and the operator with them.
fn install_images(running: &Running) -> Result<()> {
    let built = images::build(&Image::ALL)?;
    import(running, &built)?;
    install::operator(&|| running.kubectl(), &built)
}

/// Compiles the programs that go into images.
pub fn compile() -> Result<()> {
    let step = Step::begin("compile the operator and the API");
    command::run(command::cargo()
            // The whole workspace, as the tests build it: its dependencies are then compiled once, with
            // the features that all crates need together.
            .args(["build", "--release", "--locked", "--workspace", "--bins"]))?;
    step.done();
    Ok(())
}

/// Brings all images to all nodes.
pub fn import(running: &Running, built: &[Built]) -> Result<()> {
    let archives: Vec<_> = built
        .iter()
        .map(|built| (built.reference.as_str(), built.archive.as_path()))
        .collect();
    running.import_images(&archives)
}

/// Where a clone keeps how to reach its cluster.
pub fn access_folder() -> PathBuf {
    workspace::root().join(".local-cluster")
}

/// Puts the kubeconfig and kubectl into the clone.
fn write_access(running: &Running, binaries: &KubeBinaries) -> Result<()> {
    let folder = access_folder();
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).with_context(|| format!("cannot make {}", programs.display()))?;
    let kubeconfig = folder.join("kubeconfig");
    fs::copy(&running.kubeconfig, &kubeconfig)
        .with_context(|| format!("cannot write {}", kubeconfig.display()))?;
    link(&binaries.kubectl, &programs.join("kubectl"))
}

fn link(target: &Path, at: &Path) -> Result<()> {
    if fs::read_link(at).is_ok_and(|present| present == target) {
        return Ok(());
    }
    let _ = fs::remove_file(at);
    symlink(target, at).with_context(|| format!("cannot make the link {}", at.display()))
}

/// The only lines on standard output: what a shell needs to reach the cluster.
fn print_access() {
    let folder = access_folder();
    println!("export KUBECONFIG={}", folder.join("kubeconfig").display());
    println!("export PATH={}:$PATH", folder.join("bin").display());
}

fn join<T>(handle: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle
        .join()
        .map_err(|_| anyhow!("a part of the build ended unexpectedly"))?
}
