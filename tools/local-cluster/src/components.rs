//! The plan of a cluster: its processes, one function each, with their arguments, configuration files and readiness.

mod addons;
mod builder;
mod control_plane;
mod nodes;

use anyhow::Result;

use self::builder::Builder;
use super::binaries::KubeBinaries;
use super::network::Network;
use super::plan::{ClusterSpec, FileSystem, NodePlan, Plan, Planned};
use super::state::State;

/// Plans every step, in an order in which each one's conditions come before it.
pub fn planned(spec: &ClusterSpec, binaries: &KubeBinaries) -> Result<Planned> {
    let network = Network::of(&spec.name)?;
    let state = State::of(&spec.name);
    let nodes = (1..=spec.nodes).map(|index| NodePlan {
        volumes: spec.volume_mib.map(|mib| FileSystem {
            file: state.node(index).join("volumes.img"),
            mib,
            target: state.node(index).join("volumes"),
        }),
        ..NodePlan::new(&network, index)
    });
    let mut planned = Planned {
        plan: Plan {
            cluster: spec.name.clone(),
            nodes: nodes.collect(),
            steps: Vec::new(),
        },
        files: Vec::new(),
    };
    add(
        &mut planned,
        &Builder {
            spec,
            network: &network,
            state: &state,
            binaries,
        },
    )?;
    Ok(planned)
}

fn add(planned: &mut Planned, builder: &Builder<'_>) -> Result<()> {
    let spec = builder.spec;
    planned.plan.steps.push(builder.etcd());
    planned.plan.steps.push(builder.api_server());
    for node in 1..=spec.nodes {
        builder.containerd(planned, node)?;
    }
    planned.plan.steps.push(builder.controller_manager());
    planned.plan.steps.push(builder.scheduler());
    builder.base_objects(planned)?;
    for node in 1..=spec.nodes {
        builder.kubelet(planned, node)?;
        builder.proxy(planned, node)?;
        planned.plan.steps.push(builder.node_ready(node));
    }
    builder.coredns(planned);
    planned.plan.steps.push(builder.provisioner());
    builder.metrics_server(planned);
    planned.plan.steps.push(builder.default_account());
    planned.plan.steps.extend(builder.forwarder());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::super::plan::{Forwarder, Leftovers};
    use super::*;

    fn of(name: &str, nodes: u8) -> Planned {
        let spec = ClusterSpec {
            name: name.to_owned(),
            nodes,
            pause_image: "localhost/pause:1".to_owned(),
            forwarder: Some(Forwarder {
                listen: "127.0.0.1:3000".parse().unwrap(),
                namespace: "default".to_owned(),
                service: "development-api".to_owned(),
                port: 80,
            }),
            leftovers: Leftovers::Remove,
            proxy_seconds: None,
            volume_mib: None,
        };
        planned(&spec, &KubeBinaries::in_folder(Path::new("/bin-folder"))).unwrap()
    }

    #[test]
    fn every_step_waits_only_for_steps_before_it() {
        let mut seen = BTreeSet::new();
        for step in of("dev", 3).plan.steps {
            for name in &step.after {
                assert!(
                    seen.contains(name),
                    "{} waits for {name}, which does not come before it",
                    step.name
                );
            }
            assert!(
                seen.insert(step.name.clone()),
                "two steps are named {}",
                step.name
            );
        }
    }

    #[test]
    fn each_node_has_the_agents_and_only_the_first_the_control_plane() {
        let plan = of("dev", 2).plan;
        let count = |program: &str| {
            plan.steps
                .iter()
                .filter(|step| step.name == program || step.name.starts_with(&format!("{program}-")))
                .count()
        };
        for program in ["containerd", "kubelet", "kube-proxy"] {
            assert_eq!(count(program), 2, "{program}");
        }
        for program in [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "coredns",
        ] {
            assert_eq!(count(program), 1, "{program}");
        }
    }

    #[test]
    fn the_version_follows_the_configuration_and_nothing_random() {
        assert_eq!(of("dev", 1).version().unwrap(), of("dev", 1).version().unwrap());
        assert_ne!(of("dev", 1).version().unwrap(), of("dev", 2).version().unwrap());
    }

    #[test]
    fn a_clusters_files_stay_below_its_state_folder() {
        for (path, _) in of("test", 2).files {
            assert!(
                path.starts_with("/var/lib/rates-local-cluster/test"),
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn services_are_reached_through_the_first_node_only() {
        let nodes = of("dev", 2).plan.nodes;
        assert_eq!(nodes[0].routes, ["198.18.64.0/24", "198.18.128.0/20"]);
        assert_eq!(nodes[1].routes, ["198.18.65.0/24"]);
    }
}
