//! The cluster's keys, certificates and kubeconfigs: made anew for each cluster, readable by root only.

use anyhow::Result;

use super::certificates::{Authority, Certificate, Subject, token_keys};
use super::configuration::{Kubeconfig, json, metrics_api};
use super::network::Network;
use super::plan::node_name;
use super::state::{State, write_private};

/// The name under which the API server passes requests on to metrics-server.
pub const FRONT_PROXY: &str = "front-proxy";

/// The file of the object that makes metrics-server part of the API.
pub const METRICS_API: &str = "metrics-api.json";

const MASTERS: &str = "system:masters";

/// Writes everything that a cluster with this many nodes needs.
pub fn write(state: &State, network: &Network, nodes: u8) -> Result<()> {
    let authority = Authority::new(&format!("rates-local-cluster-{}", state.name))?;
    let writer = Writer {
        state,
        server: network.api_server(),
        authority: &authority,
    };
    writer.pair("ca", &authority.certificate)?;
    let (private, public) = token_keys()?;
    writer.file("tokens.key", &private)?;
    writer.file("tokens.pub", &public)?;

    let api_names: Vec<String> = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "localhost",
        "127.0.0.1",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([
        network.node(1).address.to_string(),
        network.api_service().to_string(),
    ])
    .collect();
    writer.issue(
        "kube-apiserver",
        Subject {
            name: "kube-apiserver",
            group: None,
            serves: &api_names,
        },
    )?;
    writer.issue(
        "front-proxy",
        Subject {
            name: FRONT_PROXY,
            group: None,
            serves: &[],
        },
    )?;
    let metrics_names = ["metrics-server.kube-system.svc".to_owned()];
    writer.user(
        "metrics-server",
        Subject {
            name: "metrics-server",
            group: Some(MASTERS),
            serves: &metrics_names,
        },
    )?;

    for name in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
        writer.user(
            name,
            Subject {
                name: &format!("system:{name}"),
                group: None,
                serves: &[],
            },
        )?;
    }
    for name in ["admin", "coredns", "provisioner"] {
        writer.user(
            name,
            Subject {
                name,
                group: Some(MASTERS),
                serves: &[],
            },
        )?;
    }
    for index in 1..=nodes {
        let name = node_name(index);
        let serves = [name.clone(), network.node(index).address.to_string()];
        let user = format!("system:node:{name}");
        writer.user(
            &name,
            Subject {
                name: &user,
                group: Some("system:nodes"),
                serves: &serves,
            },
        )?;
    }
    write_private(
        &state.path(METRICS_API),
        &json(&metrics_api(&authority.certificate.certificate))?,
    )?;
    std::fs::copy(state.path("pki/admin.kubeconfig"), state.kubeconfig())?;
    Ok(())
}

struct Writer<'a> {
    state: &'a State,
    server: String,
    authority: &'a Authority,
}

impl Writer<'_> {
    fn file(&self, name: &str, contents: &str) -> Result<()> {
        write_private(&self.state.path("pki").join(name), contents)
    }

    fn pair(&self, name: &str, pair: &Certificate) -> Result<()> {
        self.file(&format!("{name}.crt"), &pair.certificate)?;
        self.file(&format!("{name}.key"), &pair.key)
    }

    fn issue(&self, file: &str, subject: Subject<'_>) -> Result<Certificate> {
        let issued = self.authority.issue(subject)?;
        self.pair(file, &issued)?;
        Ok(issued)
    }

    /// A certificate, and the kubeconfig of the one who holds it.
    fn user(&self, file: &str, subject: Subject<'_>) -> Result<()> {
        let issued = self.issue(file, subject)?;
        let authority = &self.authority.certificate.certificate;
        let kubeconfig = Kubeconfig::new(&self.state.name, self.server.clone(), authority, &issued);
        self.file(&format!("{file}.kubeconfig"), &json(&kubeconfig)?)
    }
}
