//! The cluster's processes, one function each: arguments, configuration files, readiness.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::binaries::KubeBinaries;
use super::cgroup::Hierarchies;
use super::configuration::{Containerd, Corefile, KubeProxy, Kubelet, Node, PodNetwork, base, json};
use super::network::Network;
use super::plan::{Check, ClusterSpec, Leftovers, Planned, Program, Step, node_name};
use super::secrets;
use super::state::State;

/// The step that leads a port of the host to a Service.
pub const FORWARDER: &str = "forwarder";

/// Adds every step, in an order in which each one's conditions come before it.
pub fn add(
    planned: &mut Planned,
    spec: &ClusterSpec,
    network: &Network,
    state: &State,
    binaries: &KubeBinaries,
) -> Result<()> {
    let builder = Builder {
        spec,
        network,
        state,
        binaries,
    };
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

struct Builder<'a> {
    spec: &'a ClusterSpec,
    network: &'a Network,
    state: &'a State,
    binaries: &'a KubeBinaries,
}

impl Builder<'_> {
    fn etcd(&self) -> Step {
        let client = "http://127.0.0.1:2379";
        let peer = "http://127.0.0.1:2380";
        let mut flags = vec![
            flag("data-dir", self.state.path("etcd").display()),
            flag("listen-client-urls", client),
            flag("advertise-client-urls", client),
            flag("listen-peer-urls", peer),
        ];
        // Nothing is gained by waiting for the disk where nobody goes on with what is on it.
        if self.spec.leftovers == Leftovers::Remove {
            flags.push("--unsafe-no-fsync".to_owned());
        }
        self.control_plane(
            "etcd",
            &flags,
            &[],
            Check::Http {
                address: local(2379),
                path: "/health".to_owned(),
            },
        )
    }

    fn api_server(&self) -> Step {
        let pki = |name: &str| self.state.path("pki").join(name).display().to_string();
        self.control_plane(
            "kube-apiserver",
            &[
                flag("etcd-servers", "http://127.0.0.1:2379"),
                flag("service-cluster-ip-range", self.network.services()),
                flag("advertise-address", self.network.node(1).address),
                flag("bind-address", Ipv4Addr::UNSPECIFIED),
                flag("secure-port", 6443),
                flag("tls-cert-file", pki("kube-apiserver.crt")),
                flag("tls-private-key-file", pki("kube-apiserver.key")),
                flag("client-ca-file", pki("ca.crt")),
                flag("service-account-issuer", "https://kubernetes.default.svc"),
                flag("service-account-key-file", pki("tokens.pub")),
                flag("service-account-signing-key-file", pki("tokens.key")),
                flag("authorization-mode", "Node,RBAC"),
                flag("enable-admission-plugins", "NodeRestriction"),
                flag("kubelet-client-certificate", pki("admin.crt")),
                flag("kubelet-client-key", pki("admin.key")),
                flag("kubelet-certificate-authority", pki("ca.crt")),
                // exec and logs would otherwise resolve the node's name.
                flag("kubelet-preferred-address-types", "InternalIP"),
                flag("requestheader-client-ca-file", pki("ca.crt")),
                flag("requestheader-allowed-names", secrets::FRONT_PROXY),
                flag("requestheader-username-headers", "X-Remote-User"),
                flag("requestheader-group-headers", "X-Remote-Group"),
                flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
                flag("proxy-client-cert-file", pki("front-proxy.crt")),
                flag("proxy-client-key-file", pki("front-proxy.key")),
                flag("allow-privileged", true),
            ],
            &["etcd"],
            Check::Command(self.kubectl(["get", "--raw=/readyz"])),
        )
    }

    fn controller_manager(&self) -> Step {
        let pki = |name: &str| self.state.path("pki").join(name).display().to_string();
        self.control_plane(
            "kube-controller-manager",
            &[
                flag("kubeconfig", self.kubeconfig("kube-controller-manager").display()),
                flag("service-account-private-key-file", pki("tokens.key")),
                flag("root-ca-file", pki("ca.crt")),
                flag("cluster-signing-cert-file", pki("ca.crt")),
                flag("cluster-signing-key-file", pki("ca.key")),
                flag("use-service-account-credentials", true),
                flag("leader-elect", false),
                // Its controllers ask for a client each when they start; the default rate makes that take 4 s.
                flag("kube-api-qps", 200),
                flag("kube-api-burst", 400),
            ],
            &["kube-apiserver"],
            self.healthz(10257),
        )
    }

    fn scheduler(&self) -> Step {
        self.control_plane(
            "kube-scheduler",
            &[
                flag("kubeconfig", self.kubeconfig("kube-scheduler").display()),
                flag("leader-elect", false),
            ],
            &["kube-apiserver"],
            self.healthz(10259),
        )
    }

    fn containerd(&self, planned: &mut Planned, node: u8) -> Result<()> {
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

    fn kubelet(&self, planned: &mut Planned, node: u8) -> Result<()> {
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

    fn proxy(&self, planned: &mut Planned, node: u8) -> Result<()> {
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

    fn node_ready(&self, node: u8) -> Step {
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

    fn base_objects(&self, planned: &mut Planned) -> Result<()> {
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

    fn coredns(&self, planned: &mut Planned) {
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

    fn metrics_server(&self, planned: &mut Planned) {
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

    fn provisioner(&self) -> Step {
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

    /// Pods cannot be created in a namespace before its default service account is there.
    fn default_account(&self) -> Step {
        Step {
            name: "default-service-account".to_owned(),
            node: None,
            process: None,
            after: vec!["kube-controller-manager".to_owned()],
            ready: Check::Command(self.kubectl(["get", "serviceaccount/default", "--namespace=default"])),
        }
    }

    fn forwarder(&self) -> Option<Step> {
        let forwarder = self.spec.forwarder.as_ref()?;
        let arguments = [
            "forward".to_owned(),
            flag("listen", forwarder.listen),
            flag("namespace", &forwarder.namespace),
            flag("service", &forwarder.service),
            flag("port", forwarder.port),
            flag("kubectl", self.binaries.kubectl.display()),
            flag("kubeconfig", self.state.kubeconfig().display()),
        ];
        Some(Step {
            name: FORWARDER.to_owned(),
            node: None,
            process: Some(Program::new(&self.state.path("xtask"), arguments)),
            after: vec!["kube-apiserver".to_owned()],
            ready: Check::Listens(forwarder.listen),
        })
    }

    fn control_plane(&self, name: &str, flags: &[String], after: &[&str], ready: Check) -> Step {
        let arguments = std::iter::once(name.to_owned()).chain(flags.iter().cloned());
        Step {
            name: name.to_owned(),
            node: Some(1),
            process: Some(Program::new(&self.binaries.kube, arguments)),
            after: after.iter().map(|&name| name.to_owned()).collect(),
            ready,
        }
    }

    /// The health page of a component that serves it with a certificate of its own making.
    fn healthz(&self, port: u16) -> Check {
        Check::Command(self.kubectl([
            "get",
            "--raw=/healthz",
            &format!("--server=https://127.0.0.1:{port}"),
            "--insecure-skip-tls-verify",
        ]))
    }

    fn apply(&self, file: &Path) -> Program {
        self.kubectl(["apply", &format!("--filename={}", file.display())])
    }

    fn kubectl<'s>(&self, arguments: impl IntoIterator<Item = &'s str>) -> Program {
        let common = [
            flag("kubeconfig", self.state.kubeconfig().display()),
            flag("cache-dir", self.state.path("kubectl-cache").display()),
        ];
        Program::new(
            &self.binaries.kubectl,
            common.into_iter().chain(arguments.into_iter().map(str::to_owned)),
        )
    }

    fn kubeconfig(&self, user: &str) -> PathBuf {
        self.state.path("pki").join(format!("{user}.kubeconfig"))
    }
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

/// The name of one node's own process.
fn agent(name: &str, node: u8) -> String {
    format!("{name}-{node}")
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
