//! What runs on each node.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::builder::{Builder, agent, flag, local};
use crate::cgroup::Hierarchies;
use crate::configuration::{Containerd, KubeProxy, Kubelet, Node, PodNetwork, json};
use crate::plan::{Check, Planned, Program, Step, node_name};

impl Builder<'_> {
    pub fn containerd(&self, planned: &mut Planned, node: u8) -> Result<()> {
        let folder = self.state.node(node);
        let socket = self.state.containerd_socket(node);
        let networks = folder.join("cni");
        let file = folder.join("containerd.toml");
        let configuration = Containerd::new(
            folder.join("containerd"),
            socket.clone(),
            networks.clone(),
            self.spec.pause_image.clone(),
        );
        let text = toml::to_string(&configuration).context("containerd's configuration cannot be written")?;
        planned.files.push((file.clone(), text));
        let network = PodNetwork::new(self.network.node_pods(node).to_string());
        planned
            .files
            .push((networks.join("10-pods.conflist"), json(&network)?));
        planned.plan.steps.push(Step {
            name: agent("containerd", node),
            node: Some(node),
            process: Some(Program::new(
                Path::new("/usr/bin/containerd"),
                [flag("config", file.display())],
            )),
            after: Vec::new(),
            ready: Check::Socket(socket),
        });
        Ok(())
    }

    pub fn kubelet(&self, planned: &mut Planned, node: u8) -> Result<()> {
        let folder = self.state.node(node);
        let pki = self.state.path("pki");
        let name = node_name(node);
        let resolv_conf = self.state.path("resolv.conf");
        let configuration = Kubelet::new(Node {
            address: self.network.node(node).address,
            dns: self.network.node(1).address,
            cgroup_root: Hierarchies::node_root(&self.spec.name, node),
            containerd: self.state.containerd_socket(node),
            authority: pki.join("ca.crt"),
            certificate: pki.join(format!("{name}.crt")),
            key: pki.join(format!("{name}.key")),
            resolv_conf: resolv_conf.clone(),
            folder: folder.clone(),
        });
        if node == 1 {
            planned.files.push((resolv_conf, String::new()));
        }
        let file = folder.join("kubelet.json");
        planned.files.push((file.clone(), json(&configuration)?));
        let arguments = [
            "kubelet".to_owned(),
            flag("config", file.display()),
            flag("kubeconfig", self.kubeconfig(&name).display()),
            flag("hostname-override", &name),
            flag("node-ip", self.network.node(node).address),
            flag("root-dir", folder.join("kubelet").display()),
            // cAdvisor's own: by it the metrics of a container have the container's name.
            flag("containerd", self.state.containerd_socket(node).display()),
        ];
        planned.plan.steps.push(Step {
            name: agent("kubelet", node),
            node: Some(node),
            process: Some(Program::new(&self.binaries.kube, arguments)),
            after: vec![agent("containerd", node), "kube-apiserver".to_owned()],
            ready: Check::Http {
                address: local(10248),
                path: "/healthz".to_owned(),
            },
        });
        Ok(())
    }

    pub fn proxy(&self, planned: &mut Planned, node: u8) -> Result<()> {
        let file = self.state.node(node).join("kube-proxy.json");
        let configuration = KubeProxy::new(
            node_name(node),
            self.network.pods().to_string(),
            self.kubeconfig("kube-proxy"),
            self.spec.proxy_seconds,
        );
        planned.files.push((file.clone(), json(&configuration)?));
        planned.plan.steps.push(Step {
            name: agent("kube-proxy", node),
            node: Some(node),
            process: Some(Program::new(
                &self.binaries.kube,
                ["kube-proxy".to_owned(), flag("config", file.display())],
            )),
            after: vec!["kube-apiserver".to_owned()],
            ready: Check::Http {
                address: local(10256),
                path: "/healthz".to_owned(),
            },
        });
        Ok(())
    }

    pub fn node_ready(&self, node: u8) -> Step {
        let name = node_name(node);
        Step {
            ready: Check::Command(self.kubectl([
                "wait",
                "--for=condition=Ready",
                "--timeout=2s",
                &format!("node/{name}"),
            ])),
            name,
            node: None,
            process: None,
            after: vec![agent("kubelet", node), agent("kube-proxy", node)],
        }
    }
}
