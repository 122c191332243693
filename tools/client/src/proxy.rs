//! Kubernetes' API without a process for each question: `kubectl proxy`, for those who look often while they measure.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::http::Client;

/// Ends with this, and with the thread that started it, however that ends: whoever reaches it is the cluster's
/// administrator.
pub struct Proxy {
    process: Child,
    client: Client,
}

impl Proxy {
    pub fn start() -> Result<Self> {
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "kubectl", "proxy", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start kubectl proxy")?;
        let mut line = String::new();
        let output = process.stdout.take().context("kubectl proxy without output")?;
        let read = BufReader::new(output).read_line(&mut line);
        let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        let proxy = Self {
            process,
            client: Client::new(format!("http://{address}")),
        };
        read.context("kubectl proxy says nothing")?;
        anyhow::ensure!(address.contains(':'), "kubectl proxy says {line:?}");
        Ok(proxy)
    }

    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
