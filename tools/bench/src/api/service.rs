//! The service as a process: started on a database, asked for its memory, and ended.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::http::Connection;
use super::postgres::OWNER;
use super::processor;
use control_plane::free_ports;

/// The token that batches are sent with.
pub const TOKEN: &str = "benchmark";

const PATIENCE: Duration = Duration::from_mins(1);

/// A service that runs until this is dropped.
pub struct Service {
    child: Child,
    pub address: SocketAddr,
    log: PathBuf,
}

impl Service {
    /// Starts it with its default settings but the addresses, and waits until it is ready.
    pub async fn start(program: &Path, uri: &str, work: &Path) -> Result<Self> {
        let digests = work.join("token-digests");
        fs::write(&digests, format!("{:x}\n", Sha256::digest(TOKEN)))
            .with_context(|| format!("cannot write {}", digests.display()))?;
        let [port] = free_ports()?;
        let address = local(port);
        let log = work.join(format!("service-{}.log", address.port()));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command(program)
            .stdout(file)
            .args(["serve", "--listen", &address.to_string()])
            .args(["--database-uri", uri])
            .args(["--metrics-listen", "127.0.0.1:0"])
            .arg("--ingest-token-digests-file")
            .arg(&digests)
            .spawn()
            .context("cannot start rates-api")?;
        let mut service = Self { child, address, log };
        service.until_ready().await?;
        Ok(service)
    }

    async fn until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        while !self.is_ready().await {
            if let Some(status) = self.child.try_wait().context("cannot wait for rates-api")? {
                bail!("rates-api ended with {status}; {}", self.last_words());
            }
            if started.elapsed() > PATIENCE {
                bail!("rates-api did not become ready; {}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn is_ready(&self) -> bool {
        let Ok(mut connection) = Connection::open(self.address).await else {
            return false;
        };
        connection.get(&super::http::request("/readyz")).await.is_ok()
    }

    /// The last line of its log.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        format!(
            "the last that it said is {}",
            log.lines().last().unwrap_or("nothing")
        )
    }

    /// What it has had of the processors.
    pub fn processor(&self) -> Result<Duration> {
        processor::of(self.child.id())
    }

    /// Forgets the most memory that it has had so far.
    pub fn reset_peak(&self) -> Result<()> {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
    }

    /// The most memory that it has had, in MiB.
    pub fn peak(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        peak(&status).with_context(|| format!("{path} has no VmHWM"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// In MiB, from `/proc/PID/status`.
fn peak(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes / 1024.0)
}

/// Brings a database to the service's form.
pub async fn migrate(program: &Path, uri: &str) -> Result<()> {
    let mut command = tokio::process::Command::from(command(program));
    let output = command
        .args(["migrate", "--database-uri", uri, "--owner-role", OWNER])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot start rates-api")?;
    if !output.status.success() {
        bail!(
            "rates-api migrate ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// With no settings but the given ones.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::peak;

    #[test]
    fn the_peak_is_read_in_mebibytes() {
        let status = "Name:\trates-api\nVmPeak:\t  999999 kB\nVmHWM:\t   34816 kB\nVmRSS:\t   20480 kB\n";
        assert_eq!(peak(status), Some(34.0));
        assert_eq!(peak("Name:\trates-api\n"), None);
    }
}
