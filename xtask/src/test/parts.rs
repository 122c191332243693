//! The tests of each part, with its one real dependency: PostgreSQL for the API, etcd
//! and kube-apiserver for the operator and for the database pod.

use anyhow::Result;

use super::tally::Tally;
use crate::{cluster, command, images};

/// Runs every crate's tests but the ones that need a cluster, and beside them those of the database pod, which mostly
/// wait: two cores are enough for both.
pub fn run(tally: &mut Tally, filter: Option<&str>) -> Result<()> {
    let binaries = cluster::binaries()?;
    let helm = cluster::helm()?;
    let postgres = images::postgres_for_tests()?;
    let mut tests = images::pod_tests(&binaries.kube, &binaries.kubectl)?;
    if let Some(filter) = filter {
        for (_, pod) in &mut tests {
            pod.args(["-k", filter]);
        }
    }
    // Of e2e only its library: the tests of the whole are left out unless they are named.
    let crates = ["test", "--release", "--workspace", "--no-fail-fast"];
    command::run(command::cargo().args(crates).arg("--no-run"))?;
    let mut rust = command::cargo();
    rust.args(crates)
        .env("RATES_TEST_KUBE", &binaries.kube)
        .env("RATES_TEST_KUBECTL", &binaries.kubectl)
        .env("RATES_TEST_HELM", &helm)
        .env("RATES_TEST_POSTGRES", &postgres);
    if let Some(filter) = filter {
        rust.args(["--", filter]);
    }
    tests.insert(0, ("Rust".to_owned(), rust));
    tally.run_side_by_side(tests)
}
