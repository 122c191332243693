//! `up --context`: the same on a cluster of your own. Images go to a registry that the cluster pulls from;
//! the port is led to the Service by kubectl, which holds on to one pod at a time. It is the kubectl on PATH: nothing of
//! the local cluster is built.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::environment::{self, ENVIRONMENT, NAMESPACE, SERVICE, SERVICE_PORT};
use host::terminal::Step;
use host::{command, packages, preflight};
use images::{Built, Image};

pub fn run(context: &str, registry: &str, port: u16) -> Result<()> {
    preflight::builder()?;
    let program = packages::find("kubectl").context(
        "no kubectl is on PATH: install one of the cluster's version (https://kubernetes.io/docs/tasks/tools/), and put \
         its folder on PATH",
    )?;
    packages::install(&images::PACKAGES.iter().copied().collect())?;
    install::compile()?;
    let kubectl = || {
        let mut command = Command::new(&program);
        command.args(["--context", context]);
        command
    };
    let wanted = [
        Image::Operator,
        Image::Api,
        Image::Postgres13,
        Image::Postgres17,
        Image::Exporter,
    ];
    let built = images::build(&wanted)?
        .into_iter()
        .map(|built| push(built, registry))
        .collect::<Result<Vec<_>>>()?;
    install::operator(&kubectl, &built)?;
    environment::apply_and_wait(&kubectl, ENVIRONMENT, false)?;
    let arguments = [
        format!("--context={context}"),
        format!("--namespace={NAMESPACE}"),
        "port-forward".to_owned(),
        format!("--address={}", preflight::local(port).ip()),
        format!("service/{SERVICE}"),
        format!("{port}:{SERVICE_PORT}"),
    ];
    local_cluster::forward_only(&program, &arguments, preflight::local(port))?;
    environment::answers(preflight::local(port))
}

/// Pushes an image and gives it the name under which the cluster pulls it.
fn push(built: Built, registry: &str) -> Result<Built> {
    let name = built
        .reference
        .strip_prefix("localhost/")
        .unwrap_or(&built.reference);
    let reference = format!("{}/{name}", registry.trim_end_matches('/'));
    let step = Step::begin(format_args!("push {reference}"));
    let storage = tempfile::tempdir().context("cannot make a temporary folder")?;
    let buildah = || {
        let mut command = Command::new("buildah");
        command.env("STORAGE_DRIVER", "vfs");
        command.arg("--root").arg(storage.path().join("root"));
        command.arg("--runroot").arg(storage.path().join("run"));
        command
    };
    let archive = format!("docker-archive:{}", built.archive.display());
    let image = command::output(buildah().args(["pull", "--quiet", &archive]))?;
    command::output(buildah().args(["push", "--quiet", image.trim(), &format!("docker://{reference}")]))?;
    step.done();
    Ok(Built { reference, ..built })
}
