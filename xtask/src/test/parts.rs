//! The tests of each part, with its one real dependency: PostgreSQL for the API, etcd
//! and kube-apiserver for the operator and for the database pod.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::Result;

use super::programs::{self, TestProgram};
use super::scratch::Scratch;
use super::tally::Tally;
use host::terminal::Step;
use local_cluster::KubeBinaries;

/// The operator's tests wait for their API server half of the time; more of them at once than there are
/// processors fill it. Those of the API count for themselves.
const TEST_THREADS: &str = "4";

/// So many of the crates and of the parts of the pod's tests run at once. Each waits much of the time, so two fill no
/// two processors; all of them at once make each other wait beyond what a test grants.
const AT_ONCE: usize = 4;

/// Compiles the tests of every crate. The tests of the whole are left out unless they are named.
pub fn compile() -> Result<Vec<TestProgram>> {
    let step = Step::begin("compile the tests of the parts");
    let programs = programs::compile(&[])?;
    step.done();
    Ok(programs)
}

/// Runs every crate's tests but the ones that need a cluster, a crate beside the others, and with them those of the
/// database pod.
pub fn run(tally: &mut Tally, filter: Option<&str>, programs: &[TestProgram]) -> Result<()> {
    let scratch = Scratch::new()?;
    let binaries = local_cluster::binaries()?;
    let mut pods = images::pod_tests(&binaries.kube, &binaries.kubectl)?;
    if let Some(filter) = filter {
        for (_, pod) in &mut pods {
            pod.args(["-k", filter]);
        }
    }
    let pods = pods.into_iter().map(|(name, pod)| (name, vec![pod]));
    let mut crates = rust(filter, programs, &binaries)?;
    // The longest come first: the operator's, those of the pod, and the API's.
    let operator = crates.remove_entry("operator").into_iter();
    let api = crates.remove_entry("rates-api").into_iter();
    let mut rows: Vec<(String, Vec<Command>)> = operator.chain(pods).chain(api).chain(crates).collect();
    for command in rows.iter_mut().flat_map(|(_, commands)| commands) {
        command.env("TMPDIR", scratch.path());
    }
    tally.run_side_by_side(AT_ONCE, rows)
}

/// The tests of each crate, by its name.
fn rust(
    filter: Option<&str>,
    programs: &[TestProgram],
    binaries: &KubeBinaries,
) -> Result<BTreeMap<String, Vec<Command>>> {
    let helm = local_cluster::helm()?;
    let postgres = images::postgres_for_tests()?;
    let prometheus = host::unpacked::PROMETHEUS.folder()?.join("usr/bin/prometheus");
    let mut crates: BTreeMap<String, Vec<Command>> = BTreeMap::new();
    for program in programs {
        let mut tests = program.command();
        tests
            .args(filter)
            .env("RUST_TEST_THREADS", TEST_THREADS)
            .env("RATES_TEST_KUBE", &binaries.kube)
            .env("RATES_TEST_KUBECTL", &binaries.kubectl)
            .env("RATES_TEST_HELM", &helm)
            .env("RATES_TEST_POSTGRES", &postgres)
            .env("RATES_TEST_PROMETHEUS", &prometheus);
        crates.entry(program.crate_name()).or_default().push(tests);
    }
    Ok(crates)
}
