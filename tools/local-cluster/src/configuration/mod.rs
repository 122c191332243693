//! The components' configuration files, as values that are serialized.

mod containerd;
mod coredns;
mod kube_proxy;
mod kubeconfig;
mod kubelet;
mod objects;

pub use containerd::{Containerd, PodNetwork};
pub use coredns::Corefile;
pub use kube_proxy::KubeProxy;
pub use kubeconfig::Kubeconfig;
pub use kubelet::{Kubelet, Node};
pub use objects::{base, metrics_api};

use anyhow::{Context as _, Result};
use serde::Serialize;

/// The JSON form, which every component that asks for YAML reads too.
pub fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).context("a configuration cannot be written as JSON")
}
