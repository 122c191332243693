//! `up --monitoring`: Prometheus and Alertmanager, and a port of this machine that leads to Prometheus.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;

use host::command;
use host::terminal::note;
use install::monitoring::{NAMESPACE, PORT, SERVICE};
use local_cluster::{Forwarder, MONITORING, Running};

/// Whether an earlier `up` installed it.
pub fn is_installed(kubectl: &dyn Fn() -> Command) -> Result<bool> {
    let found = command::output(kubectl().args([
        "get",
        "deployment/prometheus",
        "--namespace",
        NAMESPACE,
        "--ignore-not-found",
        "--output=name",
    ]))?;
    Ok(!found.trim().is_empty())
}

/// Installs it, and leads the port to it.
pub fn start(running: &Running, listen: SocketAddr) -> Result<()> {
    install::monitoring::install(running)?;
    let forwarder = Forwarder {
        listen,
        namespace: NAMESPACE.to_owned(),
        service: SERVICE.to_owned(),
        port: PORT,
    };
    local_cluster::lead_port(MONITORING, running, &forwarder)?;
    note(format_args!(
        "Prometheus: http://{listen}; what limits an environment: http://{listen}/consoles/ladder.html, or \
         `kubectl renv top` (cargo install --path kubectl-renv)"
    ));
    Ok(())
}
