//! The tests of the whole, on a cluster of their own that is taken down again; and of that cluster itself.

use std::fs;

use anyhow::{Context as _, Result};

use super::programs::{self, TestProgram};
use super::tally::Tally;
use super::{lifecycle, node_faults};
use host::terminal::{Step, note};
use host::workspace;
use local_cluster::{ClusterSpec, KubeBinaries, Leftovers, Snapshot, TEST};

/// The name of the tests' program.
const PROGRAM: &str = "whole";

/// One can be harmed while the other has the control plane.
const NODES: u8 = 2;

/// Compiles the tests of the whole.
pub fn compile() -> Result<TestProgram> {
    let step = Step::begin("compile the tests of the whole");
    let mut programs = programs::compile(&["--test", PROGRAM])?;
    step.done();
    programs.pop().context("cargo names no program of tests")
}

/// Runs the tests of the whole; with a filter only those of environments. The programs are compiled already.
pub fn run(tally: &mut Tally, filter: Option<&str>, keep: bool, program: &TestProgram) -> Result<()> {
    let spec = ClusterSpec {
        name: TEST.to_owned(),
        nodes: NODES,
        pause_image: install::pause_image()?,
        forwarder: None,
        leftovers: Leftovers::Remove,
        proxy_seconds: None,
        volume_mib: None,
    };
    let binaries = local_cluster::binaries()?;
    let _in_use = local_cluster::use_alone(TEST)?;
    if filter.is_some_and(|filter| node_faults::NAME.contains(filter)) {
        node_faults::come_and_go(tally, &spec, &binaries);
        if !keep {
            local_cluster::down_if_there(TEST)?;
        }
        return Ok(());
    }
    if filter.is_some() || keep {
        return environments(tally, filter, &spec, &binaries, program);
    }
    // What an earlier run left, cut off, is not what this one is to be compared with.
    local_cluster::down_if_there(TEST)?;
    let before = Snapshot::take()?;
    lifecycle::cut_off_starts_are_cleared(tally, &spec, &binaries, &before);
    lifecycle::dead_cluster_is_cleared(tally, &spec, &binaries);
    lifecycle::crashed_cluster_goes_on(tally, &spec, &binaries);
    lifecycle::second_up_is_quick(tally, &spec, &binaries);
    node_faults::come_and_go(tally, &spec, &binaries);
    let tested = environments(tally, None, &spec, &binaries, program);
    lifecycle::down_leaves_nothing(tally, TEST, &before);
    tested
}

/// The tests of `e2e/`.
fn environments(
    tally: &mut Tally,
    filter: Option<&str>,
    spec: &ClusterSpec,
    binaries: &KubeBinaries,
    program: &TestProgram,
) -> Result<()> {
    let helm = local_cluster::helm()?;
    let running = install::with_compiled_operator(spec, binaries)?;
    let (stand_ins, built) = images::stand_ins()?;
    install::import(&running, &built)?;
    let objects = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    fs::write(&objects, install::monitoring::objects_for(&running)?.to_string())
        .context("cannot write the objects of the monitoring")?;
    let mut tests = program.command();
    tests
        .arg("--nocapture")
        .args(filter)
        .env("RATES_E2E_IMAGES", stand_ins)
        .env("RATES_E2E_MONITORING", objects.path());
    running.lead(&mut tests, &[&helm, &workspace::binaries().join("kubectl-renv")])?;
    tally.run(&mut tests)?;
    note(format_args!(
        "cluster {TEST}: KUBECONFIG={}",
        running.kubeconfig.display()
    ));
    Ok(())
}
