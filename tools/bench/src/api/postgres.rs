//! A PostgreSQL 13.5 of its own, with its defaults: `fsync` on, every commit on the disk.

use std::fs::{self, File};
use std::ops::Deref;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use control_plane::free_ports;
use host::command;

/// The server refuses to run as root.
const NOBODY: u32 = 65534;

/// What differs from the defaults: no compiler for queries, as in the product's own settings.
pub const SETTINGS: [&str; 1] = ["jit=off"];

/// The role that the service and pgbench log in with.
pub const LOGIN: &str = "rates_a";
/// The role that everything belongs to.
pub const OWNER: &str = "rates_owner";
const SUPERUSER: &str = "postgres";

/// A server that runs until this is dropped.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    /// Makes a cluster in a new folder, and starts it.
    pub async fn start(installation: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir(folder)
            .and_then(|()| chown(folder, Some(NOBODY), Some(NOBODY)))
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let data = folder.join("data");
        let program = |name: &str| {
            let mut program = Command::new(installation.join("bin").join(name));
            program.current_dir("/").stdin(Stdio::null());
            program.uid(NOBODY).gid(NOBODY);
            program
        };
        command::output(
            program("initdb")
                .arg("--pgdata")
                .arg(&data)
                .arg(format!("--username={SUPERUSER}"))
                .args(["--auth=trust", "--encoding=UTF8", "--locale=C"]),
        )?;
        let [port] = free_ports()?;
        let log = folder.join("log");
        let mut postgres = program("postgres");
        postgres.arg("-D").arg(&data);
        postgres.args(["-c", "listen_addresses=127.0.0.1"]);
        postgres.args(["-c", &format!("unix_socket_directories={}", folder.display())]);
        postgres.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = postgres
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .context("cannot start postgres")?;
        let server = Self { child, port };
        until_ready(&data, &log).await?;
        let roles =
            format!("CREATE ROLE {OWNER} NOLOGIN CREATEDB; CREATE ROLE {LOGIN} LOGIN IN ROLE {OWNER}");
        server.session("postgres").await?.batch_execute(&roles).await?;
        Ok(server)
    }

    /// A session as the superuser.
    pub async fn session(&self, database: &str) -> Result<Session> {
        let (client, connection) = tokio_postgres::connect(&self.address(SUPERUSER, database), NoTls)
            .await
            .with_context(|| format!("cannot connect to database {database}"))?;
        let task = tokio::spawn(async {
            // The client's next call fails with it.
            let _ = connection.await;
        });
        Ok(Session { client, task })
    }

    /// The address of a database for the service.
    pub fn uri(&self, database: &str) -> String {
        self.address(LOGIN, database)
    }

    fn address(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}:none@127.0.0.1:{}/{database}", self.port)
    }
}

async fn until_ready(data: &Path, log: &PathBuf) -> Result<()> {
    let started = Instant::now();
    let status = data.join("postmaster.pid");
    let ready = |text: String| text.lines().nth(7).is_some_and(|line| line.starts_with("ready"));
    while !fs::read_to_string(&status).is_ok_and(ready) {
        if started.elapsed() > Duration::from_mins(1) {
            bail!(
                "PostgreSQL did not start: {}",
                fs::read_to_string(log).unwrap_or_default().trim()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

impl Drop for Server {
    fn drop(&mut self) {
        // At once: its data are of no use any more.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
        }
        let _ = self.child.wait();
    }
}

/// A session, to use as the client that it is; it ends when this is dropped.
pub struct Session {
    client: Client,
    task: JoinHandle<()>,
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}
