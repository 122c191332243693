//! The tests of each part, with its one real dependency: PostgreSQL for the API, etcd
//! and kube-apiserver for the operator and for the database pod.

use anyhow::Result;

use super::tally::Tally;
use crate::{cluster, command, images};

/// Runs every crate's tests but the ones that need a cluster.
pub fn run(tally: &mut Tally, filter: Option<&str>) -> Result<()> {
    let binaries = cluster::binaries()?;
    let postgres = images::postgres_for_tests()?;
    let mut tests = command::cargo();
    tests
        // Of e2e only its library: the tests of the whole are left out unless they are named.
        .args(["test", "--release", "--workspace", "--no-fail-fast"])
        .env("RATES_TEST_KUBE", &binaries.kube)
        .env("RATES_TEST_KUBECTL", &binaries.kubectl)
        .env("RATES_TEST_POSTGRES", &postgres);
    if let Some(filter) = filter {
        tests.args(["--", filter]);
    }
    tally.run(&mut tests)?;
    let mut pods = images::pod_tests(&binaries.kube, &binaries.kubectl)?;
    if let Some(filter) = filter {
        for (_, tests) in &mut pods {
            tests.args(["-k", filter]);
        }
    }
    // They mostly wait, each in a network of its own.
    tally.run_side_by_side(pods)
}
