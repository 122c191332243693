//! etcd and Kubernetes' own servers.

use std::net::Ipv4Addr;

use super::builder::{Builder, flag, local};
use crate::plan::{Check, Leftovers, Program, Step};
use crate::secrets;

impl Builder<'_> {
    pub fn etcd(&self) -> Step {
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

    pub fn api_server(&self) -> Step {
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

    pub fn controller_manager(&self) -> Step {
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

    pub fn scheduler(&self) -> Step {
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

    fn healthz(&self, port: u16) -> Check {
        Check::Command(self.kubectl([
            "get",
            "--raw=/healthz",
            &format!("--server=https://127.0.0.1:{port}"),
            "--insecure-skip-tls-verify",
        ]))
    }
}
