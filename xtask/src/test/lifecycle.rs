//! The local cluster itself: quick when it runs, cleared when it died, gone without a trace when it is taken down.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::tally::{Outcome, Tally};
use host::command;
use images::Image;
use local_cluster::{ClusterSpec, KubeBinaries, Leftovers, Running, Snapshot};

/// `up` on a running cluster, images and all else aside.
const QUICK: Duration = Duration::from_secs(10);

/// It may go on running beside the tests.
const OTHER: &str = local_cluster::DEV;

/// A second `up` finds the cluster and changes nothing.
pub fn second_up_is_quick(tally: &mut Tally, spec: &ClusterSpec, binaries: &KubeBinaries) {
    tally.check("a second up is quick and changes nothing", || {
        let before = Snapshot::take()?;
        let started = Instant::now();
        local_cluster::up(spec, binaries)?;
        ensure!(
            started.elapsed() < QUICK,
            "it took {:.1} s",
            started.elapsed().as_secs_f64()
        );
        unchanged(&before, &Snapshot::take()?)?;
        Ok(Outcome::Passed)
    });
}

/// A start that is cut off at some moment leaves nothing once `down` has run.
pub fn cut_off_starts_are_cleared(
    tally: &mut Tally,
    spec: &ClusterSpec,
    binaries: &KubeBinaries,
    before: &Snapshot,
) {
    for millis in [0, 300, 1200, 4000] {
        tally.check(
            &format!("a start cut off after {millis} ms is cleared by down"),
            || {
                cut_off(spec, binaries, Duration::from_millis(millis))?;
                local_cluster::down_if_there(&spec.name)?;
                unchanged(before, &Snapshot::take()?)?;
                Ok(Outcome::Passed)
            },
        );
    }
}

/// The remains of a cluster that died while it started are recognised and cleared by the next `up`.
pub fn dead_cluster_is_cleared(tally: &mut Tally, spec: &ClusterSpec, binaries: &KubeBinaries) {
    tally.check("the remains of a dead cluster are cleared by up", || {
        cut_off(spec, binaries, Duration::from_secs(3))?;
        local_cluster::up(spec, binaries)?;
        Ok(Outcome::Passed)
    });
}

/// A claim and a pod that is ready once it has the claim's volume.
const POD_WITH_VOLUME: &str = r"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept, namespace: default}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: kept, namespace: default}
spec:
  containers: [{name: pause, image: PAUSE, volumeMounts: [{name: kept, mountPath: /kept}]}]
  terminationGracePeriodSeconds: 0
  volumes: [{name: kept, persistentVolumeClaim: {claimName: kept}}]
";

/// What a crash or a reboot ended is gone on with, its volumes too, until it is asked to start anew.
pub fn crashed_cluster_goes_on(tally: &mut Tally, spec: &ClusterSpec, binaries: &KubeBinaries) {
    tally.check("a cluster that crashed goes on with its volumes", || {
        let kept = ClusterSpec {
            leftovers: Leftovers::Keep,
            ..spec.clone()
        };
        local_cluster::down_if_there(&spec.name)?;
        let running = local_cluster::up(&kept, binaries)?;
        let pause = images::build(&[Image::Pause])?;
        install::import(&running, &pause)?;
        let folder = tempfile::tempdir()?;
        let manifest = folder.path().join("pod.yaml");
        fs::write(&manifest, POD_WITH_VOLUME.replace("PAUSE", &spec.pause_image))?;
        command::output(running.kubectl().arg("apply").arg("--filename").arg(&manifest))?;
        let ready = |running: &Running| {
            let wait = ["wait", "pod/kept", "--for=condition=Ready", "--timeout=120s"];
            command::output(running.kubectl().args(wait)).map(drop)
        };
        ready(&running)?;
        let path = "jsonpath={.items[0].spec.local.path}{.items[0].spec.hostPath.path}";
        let volume = command::output(
            running
                .kubectl()
                .args(["get", "persistentvolumes", "--output", path]),
        )?;
        let marker = Path::new(&volume).join("marker");
        fs::write(&marker, "of the first life")?;
        let restarts = || -> Result<String> {
            let count = "jsonpath={.status.containerStatuses[0].restartCount}";
            command::output(running.kubectl().args(["get", "pod", "kept", "--output", count]))
        };
        ensure!(restarts()? == "0", "the pod restarts by itself");

        local_cluster::crash(&spec.name)?;
        let again = local_cluster::up(&kept, binaries)?;
        let deadline = Instant::now() + Duration::from_mins(2);
        while restarts()? == "0" {
            ensure!(Instant::now() < deadline, "the pod is not started again");
            thread::sleep(Duration::from_millis(200));
        }
        ready(&again)?;
        ensure!(marker.exists(), "the volume is another one");

        local_cluster::crash(&spec.name)?;
        let several = ClusterSpec {
            nodes: spec.nodes + 1,
            ..kept
        };
        let refused = local_cluster::up(&several, binaries);
        let message = refused.err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(
            message.contains("--fresh"),
            "what would remove it is not refused: {message}"
        );
        ensure!(marker.exists(), "the volume is gone without a word");
        local_cluster::up(spec, binaries)?;
        ensure!(!marker.exists(), "a test begins with what another one left");
        Ok(Outcome::Passed)
    });
}

/// Cuts a start off that long after its supervisor began. On a machine that is ready sooner, half as long, and so on.
fn cut_off(spec: &ClusterSpec, binaries: &KubeBinaries, after: Duration) -> Result<()> {
    if try_cut_off(spec, binaries, after)? {
        return Ok(());
    }
    local_cluster::down_if_there(&spec.name)?;
    cut_off(spec, binaries, after / 2)
}

/// Starts the cluster and, that long after its supervisor began, ends the supervisor as a crash does.
/// What the supervisor had started goes on, ownerless. False if the cluster was ready before that.
fn try_cut_off(spec: &ClusterSpec, binaries: &KubeBinaries, after: Duration) -> Result<bool> {
    thread::scope(|scope| {
        let start = scope.spawn(|| local_cluster::up(spec, binaries));
        let supervisor = loop {
            if let Some(supervisor) = local_cluster::supervisor_of(&spec.name) {
                break supervisor;
            }
            ensure!(
                !start.is_finished(),
                "the start ended before there was a supervisor"
            );
            thread::sleep(Duration::from_millis(5));
        };
        // The moment itself is what is tested here, not something that is waited for.
        thread::sleep(after);
        supervisor.kill();
        match start.join() {
            Ok(started) => Ok(started.is_err()),
            Err(_) => bail!("the start panicked"),
        }
    })
}

/// `down` leaves the machine as it was.
pub fn down_leaves_nothing(tally: &mut Tally, name: &str, before: &Snapshot) {
    tally.check("down leaves nothing behind", || {
        local_cluster::down_if_there(name)?;
        unchanged(before, &Snapshot::take()?)?;
        Ok(Outcome::Passed)
    });
}

fn unchanged(before: &Snapshot, after: &Snapshot) -> Result<()> {
    let mut changes = after
        .clone()
        .without(OTHER)
        .changes_since(&before.clone().without(OTHER));
    // What ended meanwhile of something else, a process or its namespace, is nothing that was left behind.
    changes.retain(|change| {
        let elsewhere = change.starts_with("- network namespace") && change.ends_with(" of elsewhere");
        !change.starts_with("- process") && !elsewhere
    });
    if !changes.is_empty() {
        bail!("the machine is not as it was:\n{}", changes.join("\n"));
    }
    Ok(())
}
