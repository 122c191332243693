//! Faults that need nothing but kubectl.

use anyhow::{Context as _, Result};
use serde_json::json;

use super::fault::{Expected, Fault, Primary, Reads};
use super::scene::{PATIENCE, Scene};
use client::wait::{Look, until_measured};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simple {
    PostmasterKilled,
    /// All processes of the container `postgres` but its first, by one of them.
    ContainerCrash,
    PodDeleted,
    PodDeletedByForce,
    Switchover,
    Evicted,
    Drained,
    /// Other resources, so that all pods are replaced, and the operator's pod is deleted in the middle.
    Rolled,
    OperatorAway,
}

impl Fault for Simple {
    fn name(&self) -> &'static str {
        match self {
            Self::PostmasterKilled => "postmaster-killed",
            Self::ContainerCrash => "container-crash",
            Self::PodDeleted => "deleted",
            Self::PodDeletedByForce => "deleted-by-force",
            Self::Switchover => "switchover",
            Self::Evicted => "evicted",
            Self::Drained => "drained",
            Self::Rolled => "rolled",
            Self::OperatorAway => "operator-away",
        }
    }

    fn expected(&self) -> Expected {
        match self {
            // Patroni decides whether the server starts again or another takes over.
            Self::PostmasterKilled => Expected {
                primary: Primary::Any,
                ..Expected::quick(3.0, 5.0)
            },
            Self::ContainerCrash => Expected {
                primary: Primary::Any,
                ..Expected::quick(3.0, 6.0)
            },
            Self::PodDeletedByForce | Self::OperatorAway => Expected {
                primary: Primary::Any,
                reads: Reads::All,
                writes: Some((3.0, 6.0)),
            },
            Self::PodDeleted | Self::Switchover | Self::Evicted | Self::Drained => Expected::quick(2.0, 3.0),
            Self::Rolled => Expected::quick(3.0, 3.0),
        }
    }

    fn play(&self, scene: &mut Scene<'_>) -> Result<()> {
        let pod = scene.primary.name.clone();
        match self {
            Self::PostmasterKilled => {
                let kill = "kill -9 $(head -n1 /data/pgdata/postmaster.pid)";
                in_container(scene, &pod, kill)?;
                scene.hold(1);
            }
            Self::ContainerCrash => {
                // Its own shell ends with the rest.
                let _ = scene.kubectl().crash_database(&pod);
                scene.hold(1);
            }
            Self::PodDeleted => {
                scene.kubectl().run(["delete", "pod", &pod, "--wait=false"])?;
                replaced(scene)?;
            }
            Self::PodDeletedByForce => {
                let arguments = [
                    "delete",
                    "pod",
                    &pod,
                    "--wait=false",
                    "--grace-period=0",
                    "--force",
                ];
                scene.kubectl().run(arguments)?;
                replaced(scene)?;
            }
            Self::Switchover => {
                scene.subject.annotate("rates.internal/switchover=any")?;
                scene.promoted()?;
            }
            Self::Evicted => {
                evict(scene, &pod)?;
                replaced(scene)?;
            }
            Self::Drained => drained(scene)?,
            Self::Rolled => rolled(scene)?,
            Self::OperatorAway => {
                let _away = crate::rollouts::Rest::begin()?;
                let _ = scene.kubectl().crash_database(&pod);
                scene.hold(15);
                scene.written()?;
            }
        }
        scene.written()
    }
}

fn in_container(scene: &Scene<'_>, pod: &str, script: &str) -> Result<String> {
    scene
        .kubectl()
        .run(["exec", pod, "--container", "postgres", "--", "sh", "-c", script])
}

/// Waits until the primary's pod is another one.
fn replaced(scene: &Scene<'_>) -> Result<()> {
    until_measured("the pod is another one", PATIENCE, || {
        let pods = scene.database().pods()?;
        let other = pods
            .iter()
            .any(|pod| pod.name == scene.primary.name && pod.uid != scene.primary.uid);
        Ok(if other {
            Look::Holds(())
        } else {
            Look::NotYet(format!("{pods:?}"))
        })
    })
}

fn evict(scene: &Scene<'_>, pod: &str) -> Result<()> {
    let namespace = scene.kubectl().namespace().to_owned();
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod, "namespace": namespace},
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
    scene
        .kubectl()
        .run_with_input(["create", "--raw", &path, "-f", "-"], &eviction.to_string())
        .map(drop)
}

/// The primary's node is emptied, and used again: the volume is there.
fn drained(scene: &mut Scene<'_>) -> Result<()> {
    let node = scene.primary.node.clone();
    let drained = scene.kubectl().run([
        "drain",
        &node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--pod-selector=app.kubernetes.io/component=postgres",
        "--timeout=170s",
    ]);
    let promoted = scene.promoted();
    scene.kubectl().run(["uncordon", &node])?;
    drained?;
    promoted.map(drop)
}

/// A roll of all pods, in which the operator's pod is deleted once the first one is another.
fn rolled(scene: &mut Scene<'_>) -> Result<()> {
    let before = scene.database().pods()?;
    let pointer = "/database/resources";
    // Another value than the last roll's.
    let memory = format!("{}Mi", 300 + fastrand::u32(0..200));
    scene.subject.set(
        pointer,
        json!({"requests": {"cpu": "20m", "memory": memory}, "limits": {"memory": "1Gi"}}),
    )?;
    let kept = |scene: &Scene<'_>| -> Result<usize> {
        let now = scene.database().pods()?;
        Ok(before
            .iter()
            .filter(|pod| now.iter().any(|now| now.uid == pod.uid && !now.ending))
            .count())
    };
    let wait = |scene: &Scene<'_>, most: usize| {
        until_measured("pods are replaced", PATIENCE, || {
            let kept = kept(scene)?;
            Ok(if kept <= most {
                Look::Holds(())
            } else {
                Look::NotYet(format!("{kept} are from before"))
            })
        })
    };
    wait(scene, before.len().checked_sub(1).context("no pods")?)?;
    client::kubectl::Kubectl::new("rates-system").run([
        "delete",
        "pod",
        "--selector=app.kubernetes.io/name=rates-operator",
        "--wait=false",
    ])?;
    wait(scene, 0)
}
