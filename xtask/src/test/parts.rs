//! The tests of each part, with its one real dependency: PostgreSQL for the API, etcd
//! and kube-apiserver for the operator and for the database pod.

use std::process::Command;

use anyhow::Result;

use super::tally::Tally;
use crate::terminal::Step;
use crate::{cluster, command, images};

/// The operator's tests wait for their API server half of the time; more of them at once than there are
/// processors fill it. Those of the API count for themselves.
const TEST_THREADS: &str = "4";

/// Compiles the tests of every crate.
pub fn compile() -> Result<()> {
    let step = Step::begin("compile the tests of the parts");
    command::run(tests().args(["--quiet", "--no-run"]))?;
    step.done();
    Ok(())
}

/// Runs every crate's tests but the ones that need a cluster, and beside them those of the database pod, which mostly
/// wait: two cores are enough for both.
pub fn run(tally: &mut Tally, filter: Option<&str>) -> Result<()> {
    let binaries = cluster::binaries()?;
    let helm = cluster::helm()?;
    let postgres = images::postgres_for_tests()?;
    let mut commands = images::pod_tests(&binaries.kube, &binaries.kubectl)?;
    if let Some(filter) = filter {
        for (_, pod) in &mut commands {
            pod.args(["-k", filter]);
        }
    }
    let mut rust = tests();
    rust.arg("--no-fail-fast")
        .env("RUST_TEST_THREADS", TEST_THREADS)
        .env("RATES_TEST_KUBE", &binaries.kube)
        .env("RATES_TEST_KUBECTL", &binaries.kubectl)
        .env("RATES_TEST_HELM", &helm)
        .env("RATES_TEST_POSTGRES", &postgres);
    if let Some(filter) = filter {
        rust.args(["--", filter]);
    }
    commands.insert(0, ("Rust".to_owned(), rust));
    tally.run_side_by_side(commands)
}

/// Of e2e only its library: the tests of the whole are left out unless they are named.
fn tests() -> Command {
    let mut command = command::cargo();
    command.args(["test", "--release", "--workspace"]);
    command
}
