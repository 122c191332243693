//! hyper alone as a process, with an answer of the service's: what there is to reach on this machine.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::http::{Connection, request};
use super::processor;
use super::service::local;
use control_plane::free_ports;

const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until this is dropped.
pub struct Bare {
    child: Child,
    pub address: SocketAddr,
}

impl Bare {
    /// Starts it, and waits until it answers.
    pub async fn start(program: &Path, content: &[u8], work: &Path) -> Result<Self> {
        let [port] = free_ports()?;
        let address = local(port);
        let file = work.join(format!("content-{}", address.port()));
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
        let child = Command::new(program)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .arg(address.to_string())
            .arg(&file)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let bare = Self { child, address };
        bare.until_ready().await?;
        Ok(bare)
    }

    async fn until_ready(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            if let Ok(mut connection) = Connection::open(self.address).await {
                connection.get(&request("/")).await?;
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                bail!("the bare server does not answer");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it has had of the processors.
    pub fn processor(&self) -> Result<Duration> {
        processor::of(self.child.id())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
