//! What the process was started with.

use std::net::SocketAddr;

use crate::activator_ports::ActivatorPorts;
use crate::controller::Scope;
use crate::settings::{Images, Monitoring};

/// Everything the process was started with.
#[derive(Clone, Debug)]
pub struct Settings {
    pub images: Images,
    pub monitoring: Monitoring,
    pub scope: Scope,
    /// How many databases and APIs are replaced at once after an upgrade of the operator.
    pub rollouts_at_once: u16,
    /// How many new previews start at once.
    pub starts_at_once: u16,
    /// How many previews run at once in a namespace; 0: all of them.
    pub max_running_previews: u16,
    /// One for each environment that sleeps.
    pub activator_ports: ActivatorPorts,
    pub listen: SocketAddr,
    /// `None`: no other operator is reckoned with.
    pub lease: Option<LeaseName>,
    /// Who this process is among several.
    pub identity: String,
}

/// Where the lease is by which one operator leads.
#[derive(Clone, Debug)]
pub struct LeaseName {
    pub namespace: String,
    pub name: String,
}
