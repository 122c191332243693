//! The tests of the whole, on a cluster of their own that is taken down again; and of that cluster itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::lifecycle;
use super::tally::Tally;
use crate::cluster::{ClusterSpec, KubeBinaries, Snapshot};
use crate::terminal::{Step, note};
use crate::{cluster, command, images, up, workspace};

/// The cluster's name; `up` has another, so both run side by side.
const CLUSTER: &str = "test";

/// The program of the tests, and the crate that it is of.
const PROGRAM: &str = "whole";
const CRATE: &str = "e2e";

/// Compiles the tests of the whole, and gives their program: cargo itself would wait for whatever is
/// compiled beside them.
pub fn compile() -> Result<PathBuf> {
    let step = Step::begin("compile the tests of the whole");
    let messages = command::output(command::cargo().args([
        "test",
        "--release",
        "--workspace",
        "--test",
        PROGRAM,
        "--no-run",
        "--message-format=json-render-diagnostics",
    ]))?;
    step.done();
    program(&messages).context("cargo names no program of the tests of the whole")
}

/// The program among what cargo says of each thing that it made.
fn program(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == PROGRAM)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Runs the tests of the whole; with a filter only those of environments. The programs are compiled already.
pub fn run(tally: &mut Tally, filter: Option<&str>, keep: bool, program: &Path) -> Result<()> {
    let spec = ClusterSpec {
        name: CLUSTER.to_owned(),
        nodes: 1,
        pause_image: up::pause_image()?,
        forwarder: None,
        proxy_seconds: None,
    };
    let binaries = cluster::binaries()?;
    if filter.is_some() || keep {
        return environments(tally, filter, &spec, &binaries, program);
    }
    // What an earlier run left, cut off, is not what this one is to be compared with.
    cluster::down_if_there(CLUSTER)?;
    let before = Snapshot::take()?;
    lifecycle::cut_off_starts_are_cleared(tally, &spec, &binaries, &before);
    lifecycle::dead_cluster_is_cleared(tally, &spec, &binaries);
    lifecycle::second_up_is_quick(tally, &spec, &binaries);
    let tested = environments(tally, None, &spec, &binaries, program);
    lifecycle::down_leaves_nothing(tally, CLUSTER, &before);
    tested
}

/// The tests of `e2e/`.
fn environments(
    tally: &mut Tally,
    filter: Option<&str>,
    spec: &ClusterSpec,
    binaries: &KubeBinaries,
    program: &Path,
) -> Result<()> {
    let helm = cluster::helm()?;
    let running = up::with_compiled_operator(spec, binaries)?;
    let (stand_ins, built) = images::stand_ins()?;
    up::import(&running, &built)?;
    let mut path = vec![binaries.folder.clone()];
    path.extend(helm.parent().map(Path::to_path_buf));
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut tests = Command::new(program);
    tests
        .arg("--nocapture")
        .args(filter)
        .current_dir(workspace::root().join(CRATE))
        .env("RATES_E2E_IMAGES", stand_ins)
        .env("KUBECONFIG", &running.kubeconfig)
        .env("PATH", env::join_paths(path).context("PATH cannot be extended")?);
    tally.run(&mut tests)?;
    note(format_args!(
        "cluster {CLUSTER}: KUBECONFIG={}",
        running.kubeconfig.display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_what_cargo_made() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"anyhow"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"whole"},"executable":"/target/release/deps/whole-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            program(messages),
            Some(PathBuf::from("/target/release/deps/whole-1"))
        );
        assert_eq!(program("{}\nnot JSON"), None);
    }
}
