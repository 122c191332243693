//! An address that leads to a server, as a Service does: it can be made to lead to another one, or to say nothing.

use std::sync::Mutex;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Dropped, it ends.
pub struct Forwarder {
    pub address: SocketAddr,
    way: Arc<Mutex<Way>>,
    _accepting: AbortOnDropHandle<()>,
}

/// Where new connections go, and whether they and those before them since the last change are forwarded.
struct Way {
    port: u16,
    open: watch::Sender<bool>,
}

impl Forwarder {
    /// Leads to a port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = watch::Sender::new(true);
        let way = Arc::new(Mutex::new(Way { port, open }));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&way)));
        Self {
            address,
            way,
            _accepting: AbortOnDropHandle::new(accepting),
        }
    }

    /// Leads new connections to another port. Those that are open stay where they are, as they are.
    pub fn lead_to(&self, port: u16) {
        let open = watch::Sender::new(true);
        *self.way.lock().unwrap() = Way { port, open };
    }

    /// Forwards nothing more, neither of the connections that are open nor of new ones, and ends none.
    pub fn silence(&self) {
        self.way.lock().unwrap().open.send_replace(false);
    }
}

async fn accept(listener: TcpListener, way: Arc<Mutex<Way>>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (port, open) = {
            let way = way.lock().unwrap();
            (way.port, way.open.subscribe())
        };
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                return;
            };
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(forward(from_client, to_server, open.clone()));
            forward(from_server, to_client, open).await;
        });
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut piece).await.unwrap_or(0);
        // Nobody opens it again once the address leads elsewhere.
        if open.wait_for(|open| *open).await.is_err() {
            std::future::pending::<()>().await;
        }
        if length == 0 || to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
