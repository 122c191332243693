//! The built program as a process: started, looked at by its probes, and signalled.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use crate::controlling::until;

/// A running operator, killed when this is dropped.
pub struct Program {
    process: Child,
    address: String,
    log: PathBuf,
}

impl Program {
    /// Runs with the images that the tests name, and further settings as environment variables.
    pub fn start<'a>(kubeconfig: &Path, settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let images = [("RATES_API_IMAGE", "a:1"), ("RATES_POSTGRES_IMAGES", "13.5=p:1")];
        Self::start_command("run", "127.0.0.1", kubeconfig, images.into_iter().chain(settings))
    }

    /// Runs a command of the program, whose probes answer at an address.
    pub fn start_command<'a>(
        command: &str,
        ip: &str,
        kubeconfig: &Path,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let log = kubeconfig.with_file_name(format!("operator-{}.log", address.replace(':', "-")));
        let process = Command::new(env!("CARGO_BIN_EXE_rates-operator"))
            .arg(command)
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .envs(settings)
            .env("RATES_LISTEN", &address)
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self {
            process,
            address,
            log,
        }
    }

    /// The answer to a probe, or nothing as long as nobody listens.
    pub fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Waits until `/readyz` has this code and says this.
    pub async fn until_readiness(&self, code: u16, says: &str) {
        until(&format!("/readyz is {code} and says {says:?}"), async || {
            self.get("/readyz").is_some_and(|answer| {
                answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(says)
            })
        })
        .await;
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.process.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// How it ended, once it has.
    pub async fn end(mut self) -> (ExitStatus, String) {
        let process = std::cell::RefCell::new(&mut self.process);
        until("the process ends", async || {
            process.borrow_mut().try_wait().unwrap().is_some()
        })
        .await;
        (self.process.wait().unwrap(), self.log())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
