//! The listeners: all of them are open from the start, so that a Service may lead here at any time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::serve;
use super::hold::Holder;
use crate::activator_ports::ActivatorPorts;

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 4096;

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; --activator-ports names the range")]
pub struct Error {
    address: SocketAddr,
    source: std::io::Error,
}

/// Opens every port of a range, at one address.
pub async fn open(ports: ActivatorPorts, at: SocketAddr) -> Result<Vec<TcpListener>, Error> {
    raise_file_limit();
    let mut listeners = Vec::new();
    for port in ports.all() {
        let address = SocketAddr::new(at.ip(), port);
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.map_err(|source| Error { address, source })?);
    }
    Ok(listeners)
}

/// Accepts at every port until it is told to stop; `connections` follows what was accepted.
pub fn accept(
    listeners: Vec<TcpListener>,
    holder: &Arc<Holder>,
    connections: &TaskTracker,
    stop: &CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    for listener in listeners {
        let accepting = accept_at(listener, holder.clone(), connections.clone(), slots.clone());
        connections.spawn(stop.clone().run_until_cancelled_owned(accepting));
    }
}

async fn accept_at(
    listener: TcpListener,
    holder: Arc<Holder>,
    connections: TaskTracker,
    slots: Arc<Semaphore>,
) {
    let Ok(port) = listener.local_addr().map(|address| address.port()) else {
        return;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Ok(slot) = slots.clone().acquire_owned().await else {
                    return;
                };
                let holder = holder.clone();
                connections.spawn(async move {
                    serve(stream, port, holder).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of descriptors, or a connection that went away before it was accepted.
                tracing::warn!(%error, port, "cannot accept a connection");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Many systems allow a process a thousand open files at first, and more where it asks.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
