//! What the activator was started with.

use std::net::SocketAddr;
use std::time::Duration;

use crate::activator_ports::ActivatorPorts;
use crate::settings::Namespaces;

/// Everything the activator was started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// One port for each environment that sleeps, at the address of `listen`.
    pub ports: ActivatorPorts,
    /// Where health and metrics answer.
    pub listen: SocketAddr,
    pub namespaces: Namespaces,
    pub limits: Limits,
    /// How long connections are taken after the process was told to end: until no Service leads here.
    pub drain: Duration,
}

/// What bounds the requests that wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a request waits for its environment.
    pub hold: Duration,
    /// How many requests wait at once.
    pub held: u32,
    /// How many of them for one environment.
    pub held_per_environment: u32,
}
