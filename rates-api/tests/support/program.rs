//! The program, run as its users run it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::http::{Connection, Response};
use super::{SOON, eventually};

/// The program with no environment but what is given.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rates-api"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// What a command said: whether it succeeded, and its report or message on standard error.
pub struct Finished {
    pub success: bool,
    pub message: String,
}

impl Finished {
    /// The report of a command that runs in a Job.
    pub fn report(&self) -> Value {
        serde_json::from_str(self.message.lines().last().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{error}: {}", self.message))
    }
}

/// Runs a command to its end.
pub async fn run(arguments: &[&str]) -> Finished {
    let child = command(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    finish(child).await
}

/// Waits for the end of a command that was started with its standard error piped.
pub async fn finish(child: Child) -> Finished {
    let output = tokio::task::spawn_blocking(|| child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    Finished {
        success: output.status.success(),
        message: String::from_utf8(output.stderr).unwrap(),
    }
}

/// On ports that the kernel chooses: many services run at once.
const ANYWHERE: [&str; 5] = [
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--metrics-listen",
    "127.0.0.1:0",
];

/// A service that is running.
pub struct Service {
    child: Child,
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Service {
    /// Starts the service on a port of its own and waits until it listens.
    pub fn start(uri: &str, arguments: &[&str]) -> Self {
        Self::start_with(&[&["--database-uri", uri], arguments].concat())
    }

    /// As `start`, with all arguments given.
    pub fn start_with(arguments: &[&str]) -> Self {
        let mut child = command(&[&ANYWHERE, arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let first: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let address = |name: &str| first[name].as_str().unwrap().parse().unwrap();
        let (address, metrics) = (address("address"), address("metrics"));
        let log = Arc::new(Mutex::new(line));
        let copy = Arc::clone(&log);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                copy.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        });
        Self {
            child,
            address,
            metrics,
            log,
        }
    }

    /// Starts the service and waits until it is ready.
    pub async fn ready(uri: &str, arguments: &[&str]) -> Self {
        let service = Self::start(uri, arguments);
        service.until_ready().await;
        service
    }

    pub async fn until_ready(&self) {
        eventually("the service is ready", SOON, async || {
            (self.get("/readyz").await.status == 200).then_some(())
        })
        .await;
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }

    /// One request on a connection of its own.
    pub async fn get(&self, target: &str) -> Response {
        self.connect().await.get(target).await
    }

    /// What it tells Prometheus.
    pub async fn metrics(&self) -> String {
        let response = Connection::open(self.metrics).await.get("/metrics").await;
        assert_eq!(response.status, 200);
        String::from_utf8(response.body).unwrap()
    }

    /// As `get`, for a service that may have closed its listener.
    pub async fn try_get(&self, target: &str) -> std::io::Result<Response> {
        Connection::try_open(self.address).await?.try_get(target).await
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub async fn until_logged(&self, text: &str) {
        eventually(text, SOON, async || self.log().contains(text).then_some(())).await;
    }

    pub fn terminate(&self) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            Signal::SIGTERM,
        )
        .unwrap();
    }

    /// Ends the process as a crash does, and waits for its end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it still takes connections.
    pub async fn listens(&self) -> bool {
        tokio::net::TcpStream::connect(self.address).await.is_ok()
    }

    /// Waits for the end of the process.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        eventually("the process ends", within, async || {
            self.child.try_wait().unwrap()
        })
        .await
    }

    /// How long the process goes on.
    pub async fn time_to_end(&mut self) -> Duration {
        let started = Instant::now();
        self.ended(Duration::from_mins(1)).await;
        started.elapsed()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the service's log:\n{}", self.log());
        }
    }
}
