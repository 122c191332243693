//! The faults of a cluster's nodes and pods, as `local_cluster::faults` causes them: each one is there, and gone once it
//! is healed, also if whoever caused it has ended.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::tally::{Outcome, Tally};
use host::command;
use images::Image;
use local_cluster::faults::pods::PodProcesses;
use local_cluster::faults::reach::{Place, answers, connects, listen};
use local_cluster::faults::{Fault, Faults};
use local_cluster::{ClusterSpec, KubeBinaries, Running};

/// A pod that is bound to a node.
const POD: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: on-NODE, namespace: default}
spec:
  nodeName: node-NODE
  containers: [{name: pause, image: PAUSE}]
  terminationGracePeriodSeconds: 0
";

const PATIENCE: Duration = Duration::from_mins(1);

pub const NAME: &str = "the faults of nodes and pods are there, and gone once they are healed";

/// Every fault, on the cluster's last node.
pub fn come_and_go(tally: &mut Tally, spec: &ClusterSpec, binaries: &KubeBinaries) {
    tally.check(NAME, || {
        let running = local_cluster::up(spec, binaries)?;
        let scene = Scene::new(&running, spec)?;
        scene.network()?;
        scene.api_server()?;
        scene.processes()?;
        scene.frozen()?;
        scene.lost()?;
        scene.left_by_a_killed_run()?;
        Ok(Outcome::Passed)
    });
}

struct Scene<'a> {
    running: &'a Running,
    cluster: &'a str,
    faults: Faults,
    /// The node that is harmed.
    node: u8,
    /// Of each node, the pod's uid and something that listens in it.
    pods: Vec<(Place, SocketAddr, TcpListener)>,
}

impl<'a> Scene<'a> {
    fn new(running: &'a Running, spec: &'a ClusterSpec) -> Result<Self> {
        let pause = images::build(&[Image::Pause])?;
        install::import(running, &pause)?;
        let folder = tempfile::tempdir()?;
        let mut scene = Self {
            running,
            cluster: &spec.name,
            faults: Faults::of(&spec.name)?,
            node: spec.nodes,
            pods: Vec::new(),
        };
        for node in 1..=spec.nodes {
            let manifest = folder.path().join(format!("{node}.yaml"));
            let text = POD
                .replace("NODE", &node.to_string())
                .replace("PAUSE", &spec.pause_image);
            fs::write(&manifest, text)?;
            command::output(running.kubectl().arg("apply").arg("--filename").arg(&manifest))?;
        }
        for node in 1..=spec.nodes {
            scene.ready(node)?;
            let place = Place::Pod(scene.pod(node, "{.metadata.uid}")?);
            let address: Ipv4Addr = scene.pod(node, "{.status.podIP}")?.parse()?;
            let listener = listen(scene.cluster, &place)?;
            let port = listener.local_addr()?.port();
            scene
                .pods
                .push((place, SocketAddr::from((address, port)), listener));
        }
        Ok(scene)
    }

    fn pod(&self, node: u8, path: &str) -> Result<String> {
        let (pod, output) = (format!("on-{node}"), format!("jsonpath={path}"));
        command::output(
            self.running
                .kubectl()
                .args(["get", "pod", &pod, "--output", &output]),
        )
    }

    fn ready(&self, node: u8) -> Result<()> {
        let pod = format!("pod/on-{node}");
        let wait = ["wait", &pod, "--for=condition=Ready", "--timeout=60s"];
        command::output(self.running.kubectl().args(wait)).map(drop)
    }

    fn address(&self, node: u8, port: u16) -> SocketAddr {
        SocketAddr::from((self.running.nodes[usize::from(node) - 1].address, port))
    }

    /// Which of these ways are open: the host to the node, the node and its pod to the API server, its pod to the first
    /// node's pod and back, within the node.
    fn ways(&self) -> Result<[bool; 6]> {
        let api_server = self.address(1, 6443);
        let [first, own] = [0, usize::from(self.node) - 1].map(|index| &self.pods[index]);
        let open = |from: &Place, to: SocketAddr| Ok(connects(self.cluster, from, to)?.is_ok());
        let node = Place::Node(self.node);
        thread::scope(|scope| {
            let ways = [
                (&Place::Host, self.address(self.node, 10250)),
                (&node, api_server),
                (&own.0, api_server),
                (&own.0, first.1),
                (&first.0, own.1),
                (&node, own.1),
            ]
            .map(|(from, to)| scope.spawn(move || -> Result<bool> { open(from, to) }));
            let mut found = [false; 6];
            for (found, way) in found.iter_mut().zip(ways) {
                *found = way
                    .join()
                    .map_err(|_| anyhow::anyhow!("a connection panicked"))??;
            }
            Ok(found)
        })
    }

    fn network(&self) -> Result<()> {
        const ALL: [bool; 6] = [true; 6];
        ensure!(self.ways()? == ALL, "before any fault: {:?}", self.ways()?);
        let node = self.node;
        for (fault, expected) in [
            (Fault::Cut { node }, [false, false, false, false, false, true]),
            (
                Fault::CutFromApiServer { node },
                [true, false, false, true, true, true],
            ),
            (
                Fault::CutPods {
                    node,
                    from: (1..node).collect(),
                },
                [true, true, true, false, false, true],
            ),
        ] {
            let inflicted = self.faults.inflict(fault.clone())?;
            ensure!(self.ways()? == expected, "{fault:?}: {:?}", self.ways()?);
            inflicted.heal()?;
            ensure!(self.ways()? == ALL, "after {fault:?}: {:?}", self.ways()?);
        }
        let refused = self.faults.inflict(Fault::Lost { node: 1 }).err();
        ensure!(refused.is_some(), "the control plane's node can be lost");
        Ok(())
    }

    fn api_server(&self) -> Result<()> {
        let answers = || {
            let ask = ["get", "--raw=/readyz", "--request-timeout=1s"];
            command::output(self.running.kubectl().args(ask)).is_ok()
        };
        let away = self.faults.inflict(Fault::ApiServerAway)?;
        let found = connects(self.cluster, &Place::Host, self.address(1, 6443))?;
        ensure!(
            found.as_ref().is_err_and(|error| error.contains("refused")),
            "the API server is away: {found:?}"
        );
        away.heal()?;
        eventually("the API server answers again", || Ok(answers()))?;
        let stalled = self.faults.inflict(Fault::ApiServerStalled)?;
        ensure!(connects(self.cluster, &Place::Host, self.address(1, 6443))?.is_ok());
        ensure!(!answers(), "a stalled API server answers");
        stalled.heal()?;
        eventually("the API server answers again", || Ok(answers()))
    }

    fn processes(&self) -> Result<()> {
        let uid = self.pod(self.node, "{.metadata.uid}")?;
        let processes = PodProcesses::of(self.cluster, &uid)?;
        let pid = *processes.pids().first().context("the pod has no process")?;
        let stopped = processes.stop()?;
        ensure!(state(pid)? == 'T', "{pid} is not stopped");
        stopped.resume();
        ensure!(state(pid)? != 'T', "{pid} does not go on");
        processes.kill_all()?;
        eventually("the kubelet starts the container again", || {
            Ok(self.pod(self.node, "{.status.containerStatuses[0].restartCount}")? == "1")
        })?;
        self.ready(self.node)
    }

    fn agent_answers(&self) -> Result<bool> {
        let health = SocketAddr::from((Ipv4Addr::LOCALHOST, 10248));
        answers(self.cluster, &Place::Node(self.node), health)
    }

    fn frozen(&self) -> Result<()> {
        ensure!(self.agent_answers()?, "the kubelet does not answer");
        let frozen = self.faults.inflict(Fault::Frozen { node: self.node })?;
        ensure!(!self.agent_answers()?, "a frozen kubelet answers");
        let (.., listener) = &self.pods[usize::from(self.node) - 1];
        // The kernel is not frozen.
        ensure!(
            connects(
                self.cluster,
                &Place::Node(self.node),
                self.pods[usize::from(self.node) - 1].1
            )?
            .is_ok()
        );
        drop(listener.accept());
        frozen.heal()?;
        eventually("the kubelet answers again", || self.agent_answers())
    }

    fn lost(&self) -> Result<()> {
        let count = || self.pod(self.node, "{.status.containerStatuses[0].restartCount}");
        let before = count()?;
        let lost = self.faults.inflict(Fault::Lost { node: self.node })?;
        let left = self.processes_of_node()?;
        ensure!(left.is_empty(), "a lost node has processes: {left:?}");
        let kubelet = self.address(self.node, 10250);
        let reached = connects(self.cluster, &Place::Host, kubelet)?;
        ensure!(reached.is_err(), "a lost node takes connections");
        // Longer than the supervisor waits before it starts something again.
        thread::sleep(Duration::from_secs(2));
        let started = self.processes_of_node()?;
        ensure!(
            started.is_empty(),
            "a lost node starts again by itself: {started:?}"
        );
        lost.heal()?;
        eventually("the kubelet answers again", || self.agent_answers())?;
        eventually("the pod was started again", || Ok(count()? != before))?;
        self.ready(self.node)
    }

    /// The node's processes; one that has ended and is not waited for is none.
    fn processes_of_node(&self) -> Result<Vec<String>> {
        let group = format!("/{}/node-{}", self.cluster, self.node);
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            let stat = read("stat");
            if read("cgroup").lines().any(|line| line.contains(&group)) && !stat.contains(") Z ") {
                found.push(stat);
            }
        }
        Ok(found)
    }

    /// Faults whose guard never came to its end.
    fn left_by_a_killed_run(&self) -> Result<()> {
        let node = self.node;
        for fault in [
            Fault::Cut { node },
            Fault::Frozen { node },
            Fault::ApiServerStalled,
        ] {
            self.faults.inflict(fault)?.keep();
        }
        Faults::of(self.cluster)?.heal_all()?;
        eventually("the kubelet answers again", || self.agent_answers())?;
        ensure!(connects(self.cluster, &Place::Node(node), self.address(1, 6443))?.is_ok());
        // What follows, and `down` in the end, finds a node that is lost.
        self.faults.inflict(Fault::Lost { node })?.keep();
        local_cluster::crash(self.cluster)?;
        Ok(())
    }
}

fn state(pid: i32) -> Result<char> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    let (_, rest) = stat.rsplit_once(") ").context("a process without a state")?;
    rest.chars().next().context("a process without a state")
}

fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds().unwrap_or(false) {
        ensure!(
            Instant::now() < deadline,
            "not within {} s: {what}",
            PATIENCE.as_secs()
        );
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
