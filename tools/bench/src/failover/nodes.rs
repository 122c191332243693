//! Faults of whole nodes, of the API server, and of all processes of a pod.

use anyhow::{Context as _, Result, ensure};
use load::failover::{Expected, Fault, Pod, Primary, Reads, Scene};
use local_cluster::TEST;
use local_cluster::faults::pods::PodProcesses;
use local_cluster::faults::{Fault as Harm, Faults, node_number};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    AllKilled,
    AllKilledInARow,
    Stopped,
    Cut,
    Frozen,
    Lost,
    CutFromApiServer,
    CutFromStandbys,
    ApiServerAway,
    ApiServerAwayStandbyGone,
    PrimaryAndStandbyLost,
    StandbyFrozen,
    EverythingKilled,
}

impl Node {
    pub const ALL: [Self; 13] = [
        Self::AllKilled,
        Self::AllKilledInARow,
        Self::Stopped,
        Self::Cut,
        Self::Frozen,
        Self::Lost,
        Self::CutFromApiServer,
        Self::CutFromStandbys,
        Self::ApiServerAway,
        Self::ApiServerAwayStandbyGone,
        Self::PrimaryAndStandbyLost,
        Self::StandbyFrozen,
        Self::EverythingKilled,
    ];
}

impl Fault for Node {
    fn name(&self) -> &'static str {
        match self {
            Self::AllKilled => "all-killed",
            Self::AllKilledInARow => "all-killed-in-a-row",
            Self::Stopped => "stopped-and-resumed",
            Self::Cut => "node-cut",
            Self::Frozen => "node-frozen",
            Self::Lost => "node-lost",
            Self::CutFromApiServer => "cut-from-api-server",
            Self::CutFromStandbys => "cut-from-standbys",
            Self::ApiServerAway => "api-server-away",
            Self::ApiServerAwayStandbyGone => "api-server-away-2-of-3",
            Self::PrimaryAndStandbyLost => "two-of-three-lost",
            Self::StandbyFrozen => "standby-frozen",
            Self::EverythingKilled => "everything-killed",
        }
    }

    fn expected(&self) -> Expected {
        let failover = Expected {
            writes: Some((24.0, 28.0)),
            reads: Reads::InTime,
            primary: Primary::Another,
        };
        match self {
            Self::AllKilled => Expected {
                primary: Primary::Any,
                ..Expected::quick(3.0, 6.0)
            },
            Self::Stopped | Self::Cut | Self::Frozen | Self::Lost => failover,
            Self::CutFromApiServer => Expected {
                reads: Reads::All,
                ..Expected::HEALS
            },
            Self::CutFromStandbys | Self::ApiServerAway => Expected {
                reads: Reads::All,
                primary: Primary::Same,
                ..Expected::HEALS
            },
            Self::StandbyFrozen => Expected {
                writes: Some((3.0, 3.0)),
                reads: Reads::All,
                primary: Primary::Same,
            },
            // The kubelet waits longer and longer before it starts a container whose first process was killed again, so
            // that two of three instances are away at once.
            Self::AllKilledInARow
            | Self::ApiServerAwayStandbyGone
            | Self::PrimaryAndStandbyLost
            | Self::EverythingKilled => Expected::HEALS,
        }
    }

    fn play(&self, scene: &mut Scene<'_>) -> Result<()> {
        let faults = Faults::of(TEST)?;
        let primary = scene.primary.clone();
        let node = node_number(&primary.node)?;
        match self {
            Self::AllKilled => {
                processes(&primary)?.kill_all()?;
                scene.hold(1);
            }
            Self::AllKilledInARow => {
                for _ in 0..5 {
                    let primary = scene.database().primary()?;
                    processes(&primary)?.kill_all()?;
                    scene.hold(1);
                    scene.written()?;
                }
            }
            Self::Stopped => {
                let stopped = processes(&primary)?.stop()?;
                scene.promoted()?;
                scene.written()?;
                scene.hold(5);
                stopped.resume();
                scene.hold(5);
            }
            Self::Cut => failover(scene, &faults, Harm::Cut { node })?,
            Self::Frozen => failover(scene, &faults, Harm::Frozen { node })?,
            Self::Lost => failover(scene, &faults, Harm::Lost { node })?,
            Self::CutFromApiServer => {
                let cut = faults.inflict(Harm::CutFromApiServer { node })?;
                scene.hold(45);
                let leader = scene.database().leader()?;
                scene.note(format!("primary after 45 s: {leader}"));
                cut.heal()?;
            }
            Self::CutFromStandbys => {
                let from = nodes(&scene.standbys()?)?;
                let cut = faults.inflict(Harm::CutPods { node, from })?;
                scene.hold(20);
                cut.heal()?;
            }
            Self::ApiServerAway => {
                let away = faults.inflict(Harm::ApiServerAway)?;
                scene.hold(60);
                away.heal()?;
            }
            Self::ApiServerAwayStandbyGone => {
                let gone = nodes(&scene.standbys()?)?[0];
                let lost = faults.inflict(Harm::Lost { node: gone })?;
                scene.hold(10);
                let away = faults.inflict(Harm::ApiServerAway)?;
                scene.hold(60);
                away.heal()?;
                lost.heal()?;
            }
            Self::PrimaryAndStandbyLost => {
                let standby = nodes(&scene.standbys()?)?[0];
                let both = [node, standby].map(|node| faults.inflict(Harm::Lost { node }));
                scene.hold(40);
                let leader = scene.database().leader();
                scene.note(format!("leader after 40 s with one of three: {leader:?}"));
                both.into_iter().try_for_each(|lost| lost?.heal())?;
            }
            Self::StandbyFrozen => {
                let standby = nodes(&scene.standbys()?)?[0];
                let frozen = faults.inflict(Harm::Frozen { node: standby })?;
                scene.hold(25);
                frozen.heal()?;
            }
            Self::EverythingKilled => {
                let standbys = nodes(&scene.standbys()?)?;
                let mut lost = standbys
                    .iter()
                    .chain([&node])
                    .map(|node| faults.inflict(Harm::Lost { node: *node }))
                    .collect::<Result<Vec<_>>>()?;
                scene.hold(10);
                // The primary comes back last, long after whoever may lack something of it.
                let primary = lost.pop().context("no node is lost")?;
                lost.into_iter()
                    .try_for_each(local_cluster::faults::Inflicted::heal)?;
                scene.hold(30);
                primary.heal()?;
            }
        }
        scene.written()
    }
}

/// Until another instance is the primary and takes writes; a while later the node is back.
fn failover(scene: &mut Scene<'_>, faults: &Faults, harm: Harm) -> Result<()> {
    let inflicted = faults.inflict(harm)?;
    scene.promoted()?;
    scene.written()?;
    scene.hold(5);
    inflicted.heal()?;
    scene.hold(5);
    Ok(())
}

/// The processes of a pod's containers.
pub fn processes(pod: &Pod) -> Result<PodProcesses> {
    PodProcesses::of(TEST, &pod.uid)
}

/// The nodes of pods.
pub fn nodes(pods: &[Pod]) -> Result<Vec<u8>> {
    ensure!(!pods.is_empty(), "there are no pods");
    pods.iter().map(|pod| node_number(&pod.node)).collect()
}
