//! Installs the operator: on a local cluster that it starts, or on any other through kubectl. It builds what the cluster
//! runs. It applies no environment.

pub mod monitoring;
mod overlay;

use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use host::terminal::Step;
use host::{command, packages, preflight};
use images::{Built, Image};
use local_cluster::{ClusterSpec, KubeBinaries, Running};

pub use overlay::access_folder;

/// Checks that this machine can build and run a cluster, and installs the Debian packages that are missing.
pub fn prepare() -> Result<()> {
    preflight::machine()?;
    packages()
}

/// Installs the Debian packages that are missing.
pub fn packages() -> Result<()> {
    packages::install(
        &local_cluster::PACKAGES
            .iter()
            .chain(images::PACKAGES)
            .copied()
            .collect(),
    )
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
        let postgres = scope.spawn(|| {
            images::build(&[
                Image::Pause,
                Image::Postgres13,
                Image::Postgres17,
                Image::Exporter,
            ])
        });
        let programs = scope.spawn(compile);
        let binaries = local_cluster::binaries()?;
        let running = local_cluster::up(spec, &binaries)?;
        join(programs)?;
        join(postgres)?;
        Ok((running, binaries))
    })?;
    install_images(&running)?;
    Ok((running, binaries))
}

/// Starts the cluster, and installs the operator on it. What is compiled already is taken as it is.
pub fn with_compiled_operator(spec: &ClusterSpec, binaries: &KubeBinaries) -> Result<Running> {
    let running = local_cluster::up(spec, binaries)?;
    install_images(&running)?;
    Ok(running)
}

/// Brings the images to the cluster, built where they are missing, and the operator with them.
fn install_images(running: &Running) -> Result<()> {
    let built = images::build(&Image::ALL)?;
    import(running, &built)?;
    operator(&|| running.kubectl(), &built)
}

/// Installs the operator with these images, and waits until it runs.
pub fn operator(kubectl: &dyn Fn() -> Command, built: &[Built]) -> Result<()> {
    overlay::apply(kubectl, built)
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

fn join<T>(handle: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    handle
        .join()
        .map_err(|_| anyhow!("a part of the build ended unexpectedly"))?
}
