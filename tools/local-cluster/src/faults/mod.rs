//! Faults of a cluster that runs, each with its way back: a node that is cut off, frozen or lost, an API server that is
//! away.
//!
//! A fault is in the kernel and in the cluster's folder, not in the process that caused it. So [`Faults::heal_all`] also
//! ends what a run left that was killed, and with the cluster every fault is gone.

mod firewall;
pub mod pods;
pub mod reach;

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use self::firewall::Rule;
use super::cgroup::Hierarchies;
use super::freezer;
use super::group_tree::collect;
use super::network::Network;
use super::node::Namespaces;
use super::process::{Identity, kill_if};
use super::state::State;

/// What can be wrong. Nodes are counted from 1; the first has the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No packet leaves the node or reaches it, and nobody is told. What is on the node goes on among itself.
    Cut { node: u8 },
    /// As `Cut`, between the node with its pods and the API server alone.
    CutFromApiServer { node: u8 },
    /// As `Cut`, between the node's pods and the pods of these other nodes alone.
    CutPods { node: u8, from: Vec<u8> },
    /// No process of the node runs, its pods' included. The kernel still takes connections for them.
    Frozen { node: u8 },
    /// The node has no power: all its processes end at once, without a word to anybody, and none starts. Its volumes
    /// stay.
    Lost { node: u8 },
    /// The API server ends, and connections to it are refused.
    ApiServerAway,
    /// The API server takes connections and answers nothing.
    ApiServerStalled,
}

/// The node of the control plane.
const FIRST: u8 = 1;
const API_SERVER: &str = "kube-apiserver";
/// For the processes of a node to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running cluster whose nodes can be harmed.
#[derive(Clone, Debug)]
pub struct Faults {
    state: State,
    network: Network,
    nodes: Vec<u8>,
}

/// A fault that lasts until it is healed or dropped.
#[must_use = "the fault is healed when this is dropped"]
#[derive(Debug)]
pub struct Inflicted {
    faults: Faults,
    fault: Fault,
    healed: bool,
}

impl Inflicted {
    /// Ends the fault. What has been harmed by it is left to heal by itself.
    pub fn heal(mut self) -> Result<()> {
        self.healed = true;
        self.faults.heal(&self.fault)
    }

    /// Leaves the fault there, until [`Faults::heal_all`] or the cluster's end.
    pub fn keep(mut self) {
        self.healed = true;
    }
}

impl Drop for Inflicted {
    fn drop(&mut self) {
        if !self.healed
            && let Err(error) = self.faults.heal(&self.fault)
        {
            eprintln!("{:?} is not healed: {error:#}", self.fault);
        }
    }
}

impl Faults {
    /// Of the cluster with this name, which runs.
    pub fn of(cluster: &str) -> Result<Self> {
        let state = State::of(cluster);
        ensure!(
            state.supervisor().as_ref().is_some_and(Identity::is_alive),
            "cluster {cluster} does not run"
        );
        Ok(Self {
            network: Network::of(cluster)?,
            nodes: state.namespaces().into_keys().collect(),
            state,
        })
    }

    /// Causes a fault, all of it or nothing.
    pub fn inflict(&self, fault: Fault) -> Result<Inflicted> {
        self.check(&fault)?;
        let inflicted = Inflicted {
            faults: self.clone(),
            fault,
            healed: false,
        };
        self.begin(&inflicted.fault)?;
        Ok(inflicted)
    }

    /// Ends every fault that there is, whoever caused it.
    pub fn heal_all(&self) -> Result<()> {
        for &node in &self.nodes {
            self.namespaces(node)?
                .within(|| firewall::remove(firewall::MARK))?;
            self.thaw(node)?;
            self.power_on(node)?;
        }
        self.signal_api_server(Signal::SIGCONT)
    }

    fn check(&self, fault: &Fault) -> Result<()> {
        let node = match fault {
            Fault::ApiServerAway | Fault::ApiServerStalled => FIRST,
            Fault::CutFromApiServer { node } | Fault::Lost { node } => {
                ensure!(
                    *node != FIRST,
                    "node {FIRST} has the control plane itself: cut the API server off from other nodes, or take it away"
                );
                *node
            }
            Fault::CutPods { node, from } => {
                ensure!(
                    !from.is_empty()
                        && from
                            .iter()
                            .all(|other| other != node && self.nodes.contains(other)),
                    "{from:?} are not other nodes than {node} of {:?}",
                    self.nodes
                );
                *node
            }
            Fault::Cut { node } | Fault::Frozen { node } => *node,
        };
        ensure!(
            self.nodes.contains(&node),
            "cluster {} has no node {node}, its nodes are {:?}",
            self.state.name,
            self.nodes
        );
        Ok(())
    }

    fn begin(&self, fault: &Fault) -> Result<()> {
        match fault {
            Fault::Cut { node } => self.filter(*node, &firewall::everything()),
            Fault::CutFromApiServer { node } => {
                let address = self.network.node(FIRST).address;
                self.filter(*node, &firewall::from_api_server(address))
            }
            Fault::CutPods { node, from } => {
                let pods = |node| self.network.node_pods(node).to_string();
                let rules: Vec<_> = from
                    .iter()
                    .flat_map(|other| firewall::between(&pods(*node), &pods(*other), *other))
                    .collect();
                self.filter(*node, &rules)
            }
            Fault::Frozen { node } => freezer::freeze(&self.group(*node)?),
            Fault::Lost { node } => self.power_off(*node),
            Fault::ApiServerAway => {
                let address = self.network.node(FIRST).address;
                self.filter(FIRST, &[firewall::refuse_api_server(address)])?;
                // Its connections end with it; the next one finds that nobody may reach it.
                self.api_server()?.kill();
                Ok(())
            }
            Fault::ApiServerStalled => self.signal_api_server(Signal::SIGSTOP),
        }
    }

    fn heal(&self, fault: &Fault) -> Result<()> {
        match fault {
            Fault::Cut { node } => self.unfilter(*node, &[firewall::CUT.to_owned()]),
            Fault::CutFromApiServer { node } => self.unfilter(*node, &[firewall::API_SERVER.to_owned()]),
            Fault::CutPods { node, from } => {
                let marks: Vec<_> = from.iter().map(|other| firewall::pods_mark(*other)).collect();
                self.unfilter(*node, &marks)
            }
            Fault::Frozen { node } => self.thaw(*node),
            Fault::Lost { node } => {
                self.unfilter(*node, &[firewall::CUT.to_owned()])?;
                self.thaw(*node)?;
                self.power_on(*node)
            }
            Fault::ApiServerAway => self.unfilter(FIRST, &[firewall::AWAY.to_owned()]),
            Fault::ApiServerStalled => self.signal_api_server(Signal::SIGCONT),
        }
    }

    /// Takes the power away. The node is silent before its first process ends: as after a loss of power, nobody hears
    /// that connections end.
    fn power_off(&self, node: u8) -> Result<()> {
        let (marker, group) = (self.state.lost(node), self.group(node)?);
        fs::write(&marker, "").with_context(|| format!("cannot write {}", marker.display()))?;
        self.filter(node, &firewall::everything())?;
        freezer::freeze(&group)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut pids = BTreeSet::new();
            collect(&group, &mut pids);
            let inside = format!(
                "/{}",
                Hierarchies::node_root(&self.state.name, node).trim_start_matches('/')
            );
            for pid in &pids {
                kill_if(*pid, || {
                    fs::read_to_string(format!("/proc/{pid}/cgroup"))
                        .is_ok_and(|groups| groups.contains(&inside))
                });
            }
            // A frozen process takes the signal when it goes on, before anything else.
            freezer::thaw_all(&group);
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("these processes of node {node} do not end: {pids:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn power_on(&self, node: u8) -> Result<()> {
        let marker = self.state.lost(node);
        match fs::remove_file(&marker) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", marker.display()))
            }
            _ => Ok(()),
        }
    }

    fn thaw(&self, node: u8) -> Result<()> {
        freezer::thaw_all(&self.group(node)?);
        Ok(())
    }

    fn group(&self, node: u8) -> Result<std::path::PathBuf> {
        Hierarchies::find()?
            .node_group(&self.state.name, node)
            .context("this machine has no control group `freezer`: nodes cannot be stopped")
    }

    fn namespaces(&self, node: u8) -> Result<Namespaces> {
        Namespaces::of(&self.state, node)
    }

    fn filter(&self, node: u8, rules: &[Rule]) -> Result<()> {
        self.namespaces(node)?.within(|| firewall::add(rules))
    }

    fn unfilter(&self, node: u8, marks: &[String]) -> Result<()> {
        self.namespaces(node)?
            .within(|| marks.iter().try_for_each(|mark| firewall::remove(mark)))
    }

    fn api_server(&self) -> Result<Identity> {
        let steps = self.state.status().map(|status| status.steps).unwrap_or_default();
        steps
            .into_iter()
            .find(|step| step.name == API_SERVER)
            .and_then(|step| step.process)
            .filter(Identity::is_alive)
            .with_context(|| format!("{API_SERVER} does not run"))
    }

    fn signal_api_server(&self, signal: Signal) -> Result<()> {
        let pid = self.api_server()?.pid;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("cannot send {signal} to {API_SERVER}"))
    }
}

/// The number of a node from its name in Kubernetes.
pub fn node_number(name: &str) -> Result<u8> {
    name.strip_prefix("node-")
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("{name:?} is not a node's name, which is node-N"))
}
