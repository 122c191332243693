//! Whether a condition holds now. The caller's thread stands in the namespaces that the condition is about.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::plan::{Check, Program};

const PATIENCE: Duration = Duration::from_secs(2);

/// Tries the condition once; the error says what was found instead.
pub fn holds(check: &Check, log: &Path) -> Result<()> {
    match check {
        Check::Listens(address) => {
            TcpStream::connect_timeout(address, PATIENCE)
                .with_context(|| format!("nothing listens on {address}"))?;
            Ok(())
        }
        Check::Http { address, path } => http(*address, path),
        Check::Socket(path) => {
            UnixStream::connect(path).with_context(|| format!("{} takes no connections", path.display()))?;
            Ok(())
        }
        Check::Command(program) => command(program),
        Check::Log(text) => {
            if fs::read_to_string(log).unwrap_or_default().contains(text) {
                return Ok(());
            }
            bail!("its log does not say {text:?} yet")
        }
    }
}

fn http(address: SocketAddr, path: &str) -> Result<()> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().with_context(|| format!("http://{address}{path} does not answer"))?;
    let status = answer.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("http://{address}{path} answers {status:?}");
    }
    Ok(())
}

fn command(program: &Program) -> Result<()> {
    let mut command = Command::new(&program.path);
    command.args(&program.arguments).stdin(Stdio::null());
    let line = host::command::describe(&command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}`: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
