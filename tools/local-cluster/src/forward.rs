//! A port of this machine that leads to a Service: each connection is opened to the Service's own
//! address, so the cluster chooses the pod, and goes on choosing while pods come and go.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use crate::plan::Forwarder;

/// Connections at one time; more wait in the listener's queue.
const CONNECTIONS: usize = 1024;
/// How long a client's connection is held while the Service takes none.
const HOLD: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub struct Arguments {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    namespace: String,
    #[arg(long)]
    service: String,
    /// The Service's port
    #[arg(long)]
    port: u16,
    #[arg(long)]
    kubectl: PathBuf,
    #[arg(long)]
    kubeconfig: PathBuf,
}

/// What `forward` is started with.
#[must_use]
pub fn arguments(forwarder: &Forwarder, kubectl: &Path, kubeconfig: &Path) -> Vec<String> {
    vec![
        "forward".to_owned(),
        format!("--listen={}", forwarder.listen),
        format!("--namespace={}", forwarder.namespace),
        format!("--service={}", forwarder.service),
        format!("--port={}", forwarder.port),
        format!("--kubectl={}", kubectl.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
    ]
}

/// Runs until it is killed.
pub fn run(arguments: Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen)
            .await
            .with_context(|| format!("cannot listen on {}", arguments.listen))?;
        serve(listener, arguments).await
    })
}

async fn serve(listener: TcpListener, arguments: Arguments) -> Result<()> {
    let target = Arc::new(Target {
        arguments,
        address: Mutex::new(None),
    });
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&permits)
            .acquire_owned()
            .await
            .context("the listener is closed")?;
        let (client, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: some will be free again.
                eprintln!("cannot take a connection: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let target = Arc::clone(&target);
        tokio::spawn(async move {
            if let Err(error) = connect_through(client, &target).await {
                eprintln!("{error:#}");
            }
            drop(permit);
        });
    }
}

async fn connect_through(mut client: TcpStream, target: &Target) -> Result<()> {
    let mut server = target.connect().await?;
    // Small requests and answers must not wait for each other.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    // Passes an end of either direction on, and keeps the other open. A side that breaks off ends both,
    // which is nobody's error here.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    Ok(())
}

struct Target {
    arguments: Arguments,
    /// The Service's address, once it was looked up.
    address: Mutex<Option<SocketAddr>>,
}

impl Target {
    /// Opens a connection to the Service; looks its address up again when that fails.
    async fn connect(&self) -> Result<TcpStream> {
        let deadline = Instant::now() + HOLD;
        loop {
            let failure = match self.try_connect().await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            if Instant::now() > deadline {
                return Err(failure);
            }
            sleep(PAUSE).await;
        }
    }

    async fn try_connect(&self) -> Result<TcpStream> {
        let address = {
            // Held while it is looked up: many waiting connections need one answer.
            let mut known = self.address.lock().await;
            match *known {
                Some(address) => address,
                None => *known.insert(self.look_up().await?),
            }
        };
        let failure = match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer in {} s", CONNECT.as_secs()),
        };
        let mut known = self.address.lock().await;
        if *known == Some(address) {
            *known = None;
        }
        bail!(
            "cannot connect to Service {} at {address}: {failure}",
            self.arguments.service
        )
    }

    async fn look_up(&self) -> Result<SocketAddr> {
        let Arguments {
            namespace,
            service,
            port,
            kubectl,
            kubeconfig,
            ..
        } = &self.arguments;
        let output = Command::new(kubectl)
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .args([
                "get",
                "service",
                service,
                "--namespace",
                namespace,
                "--output=jsonpath={.spec.clusterIP}",
            ])
            .kill_on_drop(true)
            .output();
        let output = timeout(Duration::from_secs(10), output)
            .await
            .context("the API server does not answer")?
            .context("cannot start kubectl")?;
        if !output.status.success() {
            bail!(
                "cannot find Service {service}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let address = String::from_utf8_lossy(&output.stdout);
        let address = address
            .trim()
            .parse()
            .with_context(|| format!("Service {service} has no address of its own"))?;
        Ok(SocketAddr::new(address, *port))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A forwarder to a Service at 127.0.0.1, whose address a stand-in for kubectl gives.
    async fn forwarder(port: u16) -> (SocketAddr, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let kubectl = folder.path().join("kubectl");
        fs::write(&kubectl, "#!/bin/sh\necho >>\"$0.calls\"\necho 127.0.0.1\n").unwrap();
        fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arguments = Arguments {
            listen: address,
            namespace: "default".to_owned(),
            service: "api".to_owned(),
            port,
            kubectl,
            kubeconfig: PathBuf::from("/none"),
        };
        tokio::spawn(serve(listener, arguments));
        (address, folder)
    }

    #[tokio::test]
    async fn an_end_of_one_direction_is_passed_on_and_the_other_stays_open() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, _folder) = forwarder(server.local_addr().unwrap().port()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();
        let mut asked = String::new();
        accepted.read_to_string(&mut asked).await.unwrap();
        accepted.write_all(b"answer").await.unwrap();
        drop(accepted);
        let mut answered = String::new();
        client.read_to_string(&mut answered).await.unwrap();
        assert_eq!((asked.as_str(), answered.as_str()), ("question", "answer"));
    }

    #[tokio::test]
    async fn a_connection_is_held_while_the_service_takes_none() {
        let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = reserved.local_addr().unwrap();
        drop(reserved);
        let (address, folder) = forwarder(service.port()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"early").await.unwrap();
        // It asks for the address again once a try has failed.
        let calls = folder.path().join("kubectl.calls");
        while fs::read(&calls).unwrap_or_default().len() < 2 {
            sleep(Duration::from_millis(5)).await;
        }
        let server = TcpListener::bind(service).await.unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();
        let mut asked = [0; 5];
        accepted.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"early");
    }
}
