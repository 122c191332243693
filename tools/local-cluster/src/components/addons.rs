//! What a cluster needs beside Kubernetes itself: names, volumes, metrics, and a way in.

use anyhow::Result;

use super::builder::{Builder, agent, flag, local};
use crate::configuration::{Corefile, base, json};
use crate::forward;
use crate::plan::{Check, FORWARDER, Planned, Program, Step, node_name};
use crate::secrets;

impl Builder<'_> {
    pub fn base_objects(&self, planned: &mut Planned) -> Result<()> {
        let file = self.state.path("objects.json");
        planned
            .files
            .push((file.clone(), json(&base(self.network.node(1).address))?));
        planned.plan.steps.push(Step {
            name: "objects".to_owned(),
            node: None,
            process: None,
            after: vec!["kube-apiserver".to_owned()],
            ready: Check::Command(self.apply(&file)),
        });
        Ok(())
    }

    pub fn coredns(&self, planned: &mut Planned) {
        let file = self.state.path("Corefile");
        let corefile = Corefile {
            kubeconfig: self.kubeconfig("coredns"),
            context: format!("rates-{}", self.spec.name),
        };
        planned.files.push((file.clone(), corefile.to_string()));
        planned.plan.steps.push(Step {
            name: "coredns".to_owned(),
            node: Some(1),
            process: Some(Program::new(
                &self.binaries.coredns,
                ["-conf".to_owned(), file.display().to_string()],
            )),
            after: vec!["kube-apiserver".to_owned()],
            ready: Check::Http {
                address: local(8181),
                path: "/ready".to_owned(),
            },
        });
    }

    pub fn metrics_server(&self, planned: &mut Planned) {
        let pki = self.state.path("pki");
        let kubeconfig = self.kubeconfig("metrics-server");
        let arguments = [
            flag("kubeconfig", kubeconfig.display()),
            flag("authentication-kubeconfig", kubeconfig.display()),
            flag("authorization-kubeconfig", kubeconfig.display()),
            flag("secure-port", 4443),
            flag("tls-cert-file", pki.join("metrics-server.crt").display()),
            flag("tls-private-key-file", pki.join("metrics-server.key").display()),
            flag("kubelet-certificate-authority", pki.join("ca.crt").display()),
            flag("kubelet-preferred-address-types", "InternalIP"),
            flag("metric-resolution", "10s"),
            // Must be less than the resolution.
            flag("kubelet-request-timeout", "5s"),
        ];
        planned.plan.steps.push(Step {
            name: "metrics-server".to_owned(),
            node: Some(1),
            process: Some(Program::new(&self.binaries.metrics_server, arguments)),
            after: vec!["objects".to_owned(), agent("kube-proxy", 1)],
            ready: Check::Listens(local(4443)),
        });
        planned.plan.steps.push(Step {
            name: "metrics-api".to_owned(),
            node: None,
            process: None,
            after: vec!["metrics-server".to_owned()],
            ready: Check::Command(self.apply(&self.state.path(secrets::METRICS_API))),
        });
        planned.plan.steps.push(Step {
            name: "metrics-api-available".to_owned(),
            node: None,
            process: None,
            after: vec!["metrics-api".to_owned()],
            ready: Check::Command(self.kubectl([
                "wait",
                "--for=condition=Available",
                "--timeout=2s",
                "apiservice/v1beta1.metrics.k8s.io",
            ])),
        });
    }

    pub fn provisioner(&self) -> Step {
        let nodes = (1..=self.spec.nodes).map(|node| {
            let folder = self.state.node(node).join("volumes");
            flag("node", format_args!("{}={}", node_name(node), folder.display()))
        });
        let kubeconfig = flag("kubeconfig", self.kubeconfig("provisioner").display());
        Step {
            name: "provisioner".to_owned(),
            node: Some(1),
            process: Some(Program::new(
                &self.binaries.provisioner,
                std::iter::once(kubeconfig).chain(nodes),
            )),
            after: vec!["objects".to_owned()],
            ready: Check::Log("Started provisioner controller".to_owned()),
        }
    }

    pub fn default_account(&self) -> Step {
        Step {
            name: "default-service-account".to_owned(),
            node: None,
            process: None,
            after: vec!["kube-controller-manager".to_owned()],
            ready: Check::Command(self.kubectl(["get", "serviceaccount/default", "--namespace=default"])),
        }
    }

    pub fn forwarder(&self) -> Option<Step> {
        let forwarder = self.spec.forwarder.as_ref()?;
        let arguments = forward::arguments(forwarder, &self.binaries.kubectl, &self.state.kubeconfig());
        Some(Step {
            name: FORWARDER.to_owned(),
            node: None,
            process: Some(Program::new(&self.state.path("xtask"), arguments)),
            after: vec!["kube-apiserver".to_owned()],
            ready: Check::Listens(forwarder.listen),
        })
    }
}
