//! Where pods are while nodes are harmed: the database's instances on all nodes but the first, which has the control plane,
//! the operator, the API and whatever watches them, and is not harmed.

use anyhow::{Result, ensure};
use client::kubectl::Kubectl;
use load::rollouts::Subject;

const FIRST_NODE: &str = "node-1";

pub struct Placing {
    cluster: Kubectl,
    others: Vec<String>,
}

impl Placing {
    /// From now on pods get onto the other nodes alone.
    pub fn begin(instances: usize) -> Result<Self> {
        let cluster = Kubectl::new("default");
        let nodes = cluster.run(["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"])?;
        let others: Vec<_> = nodes
            .split_whitespace()
            .filter(|node| *node != FIRST_NODE)
            .map(str::to_owned)
            .collect();
        ensure!(
            others.len() >= instances,
            "{instances} instances need as many nodes beside {FIRST_NODE}, there are {others:?}"
        );
        cluster.run(["cordon", FIRST_NODE])?;
        Ok(Self { cluster, others })
    }

    /// Moves the operator and the API to the first node, and makes there what else has to be there.
    pub fn finish<T>(&self, subject: &Subject, also: impl FnOnce() -> Result<T>) -> Result<T> {
        let others = || self.others.iter().map(String::as_str);
        self.cluster.run(["uncordon", FIRST_NODE])?;
        self.cluster.run(std::iter::once("cordon").chain(others()))?;
        let made = to_first_node(subject).and_then(|()| also());
        self.cluster.run(std::iter::once("uncordon").chain(others()))?;
        made
    }
}

fn to_first_node(subject: &Subject) -> Result<()> {
    let system = Kubectl::new("rates-system");
    system.run([
        "delete",
        "pod",
        "--selector=app.kubernetes.io/name=rates-operator",
    ])?;
    system.run(["rollout", "status", "deployment/rates-operator", "--timeout=120s"])?;
    let environment = &subject.environment.kubectl;
    environment.run(["delete", "pod", "--selector=app.kubernetes.io/component=api"])?;
    subject.settled()
}
