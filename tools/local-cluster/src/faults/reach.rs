//! From where to where a connection opens: how a test sees that a fault is there, and that it is gone.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use super::pods::PodProcesses;
use crate::node::Namespaces;
use crate::state::State;

/// Whose network it is.
#[derive(Clone, Debug)]
pub enum Place {
    /// This machine's.
    Host,
    Node(u8),
    /// The pod's with this uid.
    Pod(String),
}

/// A connection that is not opened after this is not opened.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a connection from a place to an address opens, and why not.
pub fn connects(cluster: &str, from: &Place, to: SocketAddr) -> Result<std::result::Result<(), String>> {
    within(cluster, from, || {
        Ok(TcpStream::connect_timeout(&to, PATIENCE)
            .map(drop)
            .map_err(|error| error.to_string()))
    })
}

/// Whether a plain HTTP server at an address answers.
pub fn answers(cluster: &str, from: &Place, to: SocketAddr) -> Result<bool> {
    within(cluster, from, || {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            write!(stream, "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            Ok(stream.read(&mut [0; 16])? > 0)
        };
        Ok(ask().unwrap_or(false))
    })
}

/// Takes connections in a place, on a port that the kernel chooses, as long as the listener lives.
pub fn listen(cluster: &str, at: &Place) -> Result<TcpListener> {
    within(cluster, at, || {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("cannot listen")
    })
}

/// Does something with a place's network, on a thread that ends with it.
fn within<T: Send>(cluster: &str, place: &Place, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    match place {
        Place::Host => work(),
        Place::Node(node) => Namespaces::of(&State::of(cluster), *node)?.within(work),
        Place::Pod(uid) => {
            let pid = PodProcesses::any_pid(cluster, uid)?;
            let path = format!("/proc/{pid}/ns/net");
            let network = File::open(&path).with_context(|| format!("cannot open {path}"))?;
            thread::scope(|scope| {
                let inside = scope.spawn(|| {
                    setns(&network, CloneFlags::CLONE_NEWNET).context("cannot enter the pod's network")?;
                    work()
                });
                inside
                    .join()
                    .map_err(|_| anyhow!("a thread in a pod's network panicked"))?
            })
        }
    }
}
