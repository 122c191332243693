//! Who may talk to whom: the database is reached by the API and the Jobs alone, and pods reach
//! only what they need. A cluster's network has to enforce it; not every one does.
//!
//! Policies add up, so whoever wants to allow more writes another one beside these. DNS and the
//! Kubernetes API cannot be named portably (the one may answer on the node, the other is behind an
//! address outside of the pods' network), so they are allowed by port.

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::stateful_set::EXPORTER;
use crate::identity::{COMPONENT_LABEL, Component, Identity};
use crate::plan::{Environment, Exporter, Monitoring, SeedSource, Seeding};

const POSTGRES: i32 = 5432;
const PATRONI: i32 = 8008;
/// Kubernetes gives it to every namespace.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";
const DNS: i32 = 53;
const HTTPS: i32 = 443;
/// Where the Kubernetes API listens behind its Service.
const KUBERNETES: i32 = 6443;
/// What is not the public internet; who fetches a seed looks closer.
const PRIVATE: [&str; 7] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",
];

pub fn postgres(environment: &Environment) -> NetworkPolicy {
    let identity = &environment.identity;
    let own = || peers(environment, &[Component::Postgres]);
    let clients = Component::ALL.into_iter().filter(|part| part.uses_the_database());
    let clients: Vec<Component> = clients.collect();
    let is_exported = |monitoring: &Monitoring| matches!(monitoring.exporter, Exporter::Container { .. });
    let exporter = environment.monitoring.as_ref().is_some_and(is_exported);
    let metrics: Vec<_> = [tcp(PATRONI)]
        .into_iter()
        .chain(exporter.then(|| tcp(EXPORTER)))
        .collect();
    policy(
        environment,
        identity.postgres(),
        &[Component::Postgres],
        [
            from(peers(environment, &clients), &[tcp(POSTGRES)]),
            from(own(), &[tcp(POSTGRES), tcp(PATRONI)]),
        ]
        .into_iter()
        .chain(from_monitoring(environment, &metrics))
        .chain(from_readers(environment))
        .collect(),
        vec![
            to(Vec::new(), &dns()),
            // Patroni keeps its state there.
            to(Vec::new(), &[tcp(HTTPS), tcp(KUBERNETES)]),
            to(own(), &[tcp(POSTGRES), tcp(PATRONI)]),
        ],
    )
}

/// Of pods that anybody may call at some ports, whose metrics are for the monitoring, and that use the database.
pub fn of_clients(
    environment: &Environment,
    name: String,
    component: Component,
    ports: &[i32],
    metrics: i32,
) -> NetworkPolicy {
    let ports: Vec<NetworkPolicyPort> = ports.iter().copied().map(tcp).collect();
    policy(
        environment,
        name,
        &[component],
        [from(Vec::new(), &ports)]
            .into_iter()
            .chain(from_monitoring(environment, &[tcp(metrics)]))
            .chain(from_the_operator(environment, &[tcp(metrics)]))
            .collect(),
        to_database(environment),
    )
}

pub fn jobs(environment: &Environment) -> NetworkPolicy {
    policy(
        environment,
        environment.identity.jobs(),
        &[Component::Seed, Component::Migrate],
        // Nobody calls them.
        Vec::new(),
        to_database(environment)
            .into_iter()
            .chain(to_a_seeds_url(environment))
            .chain(to_the_source(environment))
            .collect(),
    )
}

/// While a seed is fetched: public addresses, any of their ports, as a redirect may name one.
fn to_a_seeds_url(environment: &Environment) -> Option<NetworkPolicyEgressRule> {
    let Seeding::Run {
        source: SeedSource::Url { .. },
        ..
    } = &environment.seeding
    else {
        return None;
    };
    let block = |cidr: &str, except: &[&str]| NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.to_owned(),
            except: (!except.is_empty()).then(|| except.iter().map(|&cidr| cidr.to_owned()).collect()),
        }),
        ..NetworkPolicyPeer::default()
    };
    let public = vec![block("0.0.0.0/0", &PRIVATE), block("2000::/3", &[])];
    Some(NetworkPolicyEgressRule {
        to: Some(public),
        ports: Some(vec![NetworkPolicyPort {
            protocol: Some("TCP".to_owned()),
            ..NetworkPolicyPort::default()
        }]),
    })
}

/// While the data of another environment are copied: its database.
fn to_the_source(environment: &Environment) -> Option<NetworkPolicyEgressRule> {
    let source = environment.copy.as_ref()?.source.identity();
    Some(to(vec![pods_of(&source, Component::Postgres)], &[tcp(POSTGRES)]))
}

/// The Jobs of those that copy the data.
fn from_readers(environment: &Environment) -> Option<NetworkPolicyIngressRule> {
    let readers = environment.readers.admitted.iter();
    let peers: Vec<_> = readers
        .map(|reader| pods_of(&reader.identity, Component::Seed))
        .collect();
    // Without a peer a rule would be for everybody.
    (!peers.is_empty()).then(|| from(peers, &[tcp(POSTGRES)]))
}

/// The pods of a part of an environment, in whatever namespace that is.
fn pods_of(identity: &Identity, component: Component) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(namespace(&identity.namespace)),
        pod_selector: Some(LabelSelector {
            match_labels: Some(identity.selector(component)),
            ..LabelSelector::default()
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn namespace(name: &str) -> LabelSelector {
    LabelSelector {
        match_labels: Some([(NAMESPACE_LABEL.to_owned(), name.to_owned())].into()),
        ..LabelSelector::default()
    }
}

fn to_database(environment: &Environment) -> Vec<NetworkPolicyEgressRule> {
    vec![
        to(Vec::new(), &dns()),
        to(peers(environment, &[Component::Postgres]), &[tcp(POSTGRES)]),
    ]
}

/// A policy for the pods of some components.
fn policy(
    environment: &Environment,
    name: String,
    components: &[Component],
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    let component = components.first().copied().unwrap_or(Component::Api);
    NetworkPolicy {
        metadata: environment.identity.metadata(name, component),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(environment, components)),
            policy_types: Some(["Ingress", "Egress"].map(str::to_owned).into()),
            ingress: Some(ingress),
            egress: Some(egress),
        }),
    }
}

/// From pods of the namespaces that monitor, where that is wanted.
fn from_monitoring(
    environment: &Environment,
    ports: &[NetworkPolicyPort],
) -> Option<NetworkPolicyIngressRule> {
    let namespaces = &environment.monitoring.as_ref()?.namespaces;
    let of = |name: &String| NetworkPolicyPeer {
        namespace_selector: Some(namespace(name)),
        ..NetworkPolicyPeer::default()
    };
    let peers: Vec<_> = namespaces.iter().map(of).collect();
    // Without a peer a rule would be for everybody.
    (!peers.is_empty()).then(|| from(peers, ports))
}

/// From the operator, which asks for how long the API was not in use.
fn from_the_operator(
    environment: &Environment,
    ports: &[NetworkPolicyPort],
) -> Option<NetworkPolicyIngressRule> {
    let name = environment.idle_asked_from.as_ref()?;
    let operator = NetworkPolicyPeer {
        namespace_selector: Some(namespace(name)),
        ..NetworkPolicyPeer::default()
    };
    Some(from(vec![operator], ports))
}

fn peers(environment: &Environment, components: &[Component]) -> Vec<NetworkPolicyPeer> {
    vec![NetworkPolicyPeer {
        pod_selector: Some(selector(environment, components)),
        ..NetworkPolicyPeer::default()
    }]
}

/// The pods of some components of this environment.
fn selector(environment: &Environment, components: &[Component]) -> LabelSelector {
    let names = components.iter().map(|component| component.as_str().to_owned());
    let mut labels = environment.identity.selector(Component::Api);
    labels.remove(COMPONENT_LABEL);
    LabelSelector {
        match_labels: Some(labels),
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: COMPONENT_LABEL.to_owned(),
            operator: "In".to_owned(),
            values: Some(names.collect()),
        }]),
    }
}

/// No peers: from anywhere.
fn from(peers: Vec<NetworkPolicyPeer>, ports: &[NetworkPolicyPort]) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: (!peers.is_empty()).then_some(peers),
        ports: Some(ports.to_vec()),
    }
}

/// No peers: to anywhere.
fn to(peers: Vec<NetworkPolicyPeer>, ports: &[NetworkPolicyPort]) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: (!peers.is_empty()).then_some(peers),
        ports: Some(ports.to_vec()),
    }
}

fn dns() -> [NetworkPolicyPort; 2] {
    ["UDP", "TCP"].map(|protocol| NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(DNS)),
        end_port: None,
    })
}

fn tcp(port: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some("TCP".to_owned()),
        port: Some(IntOrString::Int(port)),
        end_port: None,
    }
}
