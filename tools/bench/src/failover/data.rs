//! Faults of volumes and of what is on them, changes of the number of instances, and a commit that is cancelled.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::wait::{Look, until_measured};
use load::failover::{Expected, Fault, Pod, Primary, Reads, Scene};
use load::{Outcome, Size};
use local_cluster::TEST;
use local_cluster::faults::{Fault as Harm, Faults, node_number};
use serde_json::json;

use super::nodes::processes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    VolumeFull,
    Removed,
    StandbyClaimDeleted,
    OldPrimaryClaimDeleted,
    Scaled,
    CommitCancelled,
}

impl Data {
    pub const ALL: [Self; 6] = [
        Self::VolumeFull,
        Self::Removed,
        Self::StandbyClaimDeleted,
        Self::OldPrimaryClaimDeleted,
        Self::Scaled,
        Self::CommitCancelled,
    ];
}

/// For a clone, and for a claim to go.
const PATIENCE: Duration = Duration::from_mins(4);

impl Fault for Data {
    fn name(&self) -> &'static str {
        match self {
            Self::VolumeFull => "volume-full",
            Self::Removed => "standby-data-removed",
            Self::StandbyClaimDeleted => "standby-claim-deleted",
            Self::OldPrimaryClaimDeleted => "old-primary-claim",
            Self::Scaled => "scaled-3-2-1-3",
            Self::CommitCancelled => "commit-cancelled",
        }
    }

    fn expected(&self) -> Expected {
        let standby = Expected {
            writes: Some((3.0, 3.0)),
            reads: Reads::All,
            primary: Primary::Same,
        };
        match self {
            Self::Removed | Self::StandbyClaimDeleted => standby,
            Self::OldPrimaryClaimDeleted => Expected::quick(2.0, 3.0),
            Self::Scaled => Expected {
                primary: Primary::Any,
                ..standby
            },
            Self::VolumeFull | Self::CommitCancelled => Expected::HEALS,
        }
    }

    fn play(&self, scene: &mut Scene<'_>) -> Result<()> {
        match self {
            Self::VolumeFull => volume_full(scene)?,
            Self::Removed => {
                let standby = standby(scene)?;
                // Half of it stays, as of a removal that was cut off.
                let script = "cd /data/pgdata && rm -rf base pg_wal global/pg_control";
                let arguments = [
                    "exec",
                    &standby.name,
                    "--container",
                    "postgres",
                    "--",
                    "sh",
                    "-c",
                    script,
                ];
                scene.kubectl().run(arguments)?;
                scene.hold(5);
                processes(&standby)?.kill_all()?;
                scene.hold(5);
            }
            Self::StandbyClaimDeleted => {
                let standby = standby(scene)?;
                delete_claim(scene, &standby)?;
            }
            Self::OldPrimaryClaimDeleted => {
                let old = scene.primary.clone();
                scene
                    .kubectl()
                    .run(["delete", "pod", &old.name, "--wait=false"])?;
                scene.promoted()?;
                delete_claim(scene, &old)?;
            }
            Self::Scaled => {
                for instances in [2, 1, 3] {
                    scene.subject.set("/database/instances", json!(instances))?;
                    until_measured(format_args!("{instances} instances"), PATIENCE, || {
                        scene.database().healthy(instances)
                    })?;
                    scene.written()?;
                }
            }
            Self::CommitCancelled => commit_cancelled(scene)?,
        }
        scene.written()
    }
}

fn standby(scene: &Scene<'_>) -> Result<Pod> {
    scene.standbys()?.into_iter().next().context("no standby")
}

/// The claim of an instance goes, and its pod with it: it comes back with an empty volume.
fn delete_claim(scene: &Scene<'_>, pod: &Pod) -> Result<()> {
    let claim = format!("data-{}", pod.name);
    let uid = |scene: &Scene<'_>| -> Result<String> {
        let claim = scene.kubectl().get("persistentvolumeclaim", &claim)?;
        Ok(claim
            .and_then(|claim| claim["metadata"]["uid"].as_str().map(str::to_owned))
            .unwrap_or_default())
    };
    let before = uid(scene)?;
    scene
        .kubectl()
        .run(["delete", "persistentvolumeclaim", &claim, "--wait=false"])?;
    scene
        .kubectl()
        .run(["delete", "pod", &pod.name, "--wait=false", "--ignore-not-found"])?;
    until_measured(format_args!("{claim} is another one"), PATIENCE, || {
        let now = uid(scene)?;
        Ok(if now.is_empty() || now == before {
            Look::NotYet(now)
        } else {
            Look::Holds(())
        })
    })
}

/// A file takes all that is left on the primary's volume, and is removed a while later.
fn volume_full(scene: &Scene<'_>) -> Result<()> {
    let run = |script: &str| {
        let pod = &scene.primary.name;
        let arguments = ["exec", pod, "--container", "postgres", "--", "sh", "-c", script];
        scene.kubectl().run(arguments)
    };
    let free: u64 = run("df --output=avail --block-size=1M /data | tail -n1")?
        .trim()
        .parse()?;
    ensure!(
        free < 4096,
        "the volume has {free} MiB left: it is not one of this test's, which are small"
    );
    run("cat /dev/zero >/data/filler 2>/dev/null; sync; true")?;
    scene.hold(30);
    // Its container may just be restarting.
    until_measured("the volume has room again", PATIENCE, || {
        run("rm -f /data/filler").map(Look::Holds)
    })
    .map(drop)
}

/// Both standbys stand still, a batch's commit waits for them and is cancelled, the batch is sent again and cancelled
/// again; then the primary is lost. What was not acknowledged may be lost, what was may not.
fn commit_cancelled(scene: &mut Scene<'_>) -> Result<()> {
    let faults = Faults::of(TEST)?;
    let node = node_number(&scene.primary.node)?;
    let stopped = scene
        .standbys()?
        .iter()
        .map(|standby| processes(standby)?.stop())
        .collect::<Result<Vec<_>>>()?;
    scene.hold(1);
    let batch = scene.load.send(Size { days: 1, prices: 5 }, Duration::ZERO)?;
    let first = thread::scope(|scope| -> Result<Outcome> {
        let (done, cancelling) = std::sync::mpsc::channel::<()>();
        let shared = &*scene;
        let others = scope.spawn(move || {
            let mut cancelled = 0;
            let pause = Duration::from_millis(500);
            while cancelling.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let query =
                    "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
                let count = shared.database().sql(&shared.primary.name, "postgres", query);
                cancelled += count
                    .ok()
                    .and_then(|count| count.parse::<usize>().ok())
                    .unwrap_or(0);
            }
            cancelled
        });
        let first = scene.load.outcome(batch, PATIENCE);
        // Not until it is answered: 10 s after the standbys stopped, the primary goes on without their names, and none of
        // them could be promoted.
        scene.load.begin_again(batch);
        scene.hold(1);
        drop(done);
        let cancelled = others.join().unwrap_or_default();
        ensure!(cancelled > 0, "no commit waited: there was nothing to cancel");
        first
    })?;
    let lost = faults.inflict(Harm::Lost { node })?;
    stopped
        .into_iter()
        .for_each(local_cluster::faults::pods::Stopped::resume);
    let outcomes = [first, scene.load.outcome(batch, PATIENCE)?];
    scene.note(format!("answers with both standbys stopped: {outcomes:?}"));
    scene.promoted()?;
    scene.written()?;
    scene.hold(5);
    lost.heal()?;
    ensure!(
        !outcomes.contains(&Outcome::Applied),
        "a batch was acknowledged that no standby had: {outcomes:?}"
    );
    Ok(())
}
