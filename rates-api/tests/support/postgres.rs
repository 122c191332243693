//! A PostgreSQL server of this test run, and databases on it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rates_api::database::{Address, Session, connect};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

use super::dump;

/// What the database pod runs in every database.
const PRIVILEGES: &str = include_str!("../../../images/postgres/privileges.sql");

/// The server refuses to run as root.
const NOBODY: u32 = 65534;

/// A folder with the server's programs.
#[derive(Clone)]
pub struct Installation(PathBuf);

impl Installation {
    /// None when the tests are to be ignored; a folder that is not there is an error.
    pub fn from_environment() -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os("RATES_TEST_POSTGRES")?);
        assert!(
            folder.join("bin/initdb").exists(),
            "RATES_TEST_POSTGRES: {} has no bin/initdb",
            folder.display()
        );
        Some(Self(folder))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.0.join("bin").join(program));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .current_dir("/");
        if nix::unistd::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

pub struct Postgres {
    installation: Installation,
    folder: TempDir,
    port: u16,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
    /// The database with the bundled seed that others are copied from.
    seed: OnceCell<String>,
}

/// For a server's data, and its own.
fn folder() -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("rates-test-postgres-")
        .tempdir()
        .unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    folder
}

impl Postgres {
    /// Makes a cluster with the project's roles and starts it.
    pub fn start(installation: Installation) -> Self {
        let folder = folder();
        let status = installation
            .command("initdb")
            .arg("--pgdata")
            .arg(folder.path().join("data"))
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .status()
            .unwrap();
        assert!(status.success(), "initdb ended with {status}");
        let server = Self::of(installation, folder);
        server.start_again();
        server.make_roles();
        server
    }

    /// A server that is not started yet.
    fn of(installation: Installation, folder: TempDir) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self {
            installation,
            folder,
            port,
            server: Mutex::new(None),
            databases: AtomicU32::new(0),
            seed: OnceCell::new(),
        }
    }

    /// A standby that follows this server, which is stopped for a moment to be copied.
    pub fn standby(&self) -> Self {
        self.stop(Signal::SIGINT);
        let folder = folder();
        let data = folder.path().join("data");
        let status = Command::new("cp")
            .arg("--archive")
            .args([self.folder.path().join("data"), data.clone()])
            .status()
            .unwrap();
        assert!(status.success(), "the copy ended with {status}");
        let follow = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user=postgres'",
            self.port
        );
        fs::write(data.join("postgresql.auto.conf"), follow).unwrap();
        fs::write(data.join("standby.signal"), "").unwrap();
        self.start_again();
        let standby = Self::of(self.installation.clone(), folder);
        standby.start_again();
        standby
    }

    /// As a standby, follows another server from now on.
    pub async fn follow(&self, other: &Self) {
        let admin = self.admin("postgres").await;
        let follow = format!(
            "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port={} user=postgres'",
            other.port
        );
        admin.batch_execute(&follow).await.unwrap();
        admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    }

    /// A server like this one, for a test that stops it.
    pub fn another(&self) -> Self {
        Self::start(self.installation.clone())
    }

    /// Starts the server and waits until it takes connections.
    pub fn start_again(&self) {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let child = self
            .installation
            .command("postgres")
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
                "-c",
                "max_connections=200",
                "-c",
                "wal_retrieve_retry_interval=100ms",
            ])
            .arg(format!("--port={}", self.port))
            .arg(format!(
                "--unix_socket_directories={}",
                self.folder.path().display()
            ))
            .stderr(log)
            .spawn()
            .unwrap();
        *self.server.lock().unwrap() = Some(child);
        let started = Instant::now();
        let pid_file = self.folder.path().join("data/postmaster.pid");
        while !fs::read_to_string(&pid_file)
            .is_ok_and(|text| text.lines().nth(7).is_some_and(|line| line.starts_with("ready")))
        {
            assert!(
                started.elapsed() < Duration::from_mins(1),
                "the server did not start: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the server in order (a fast shutdown), or as a crash does, and waits for its end.
    pub fn stop(&self, how: Signal) {
        if let Some(mut child) = self.server.lock().unwrap().take() {
            kill(pid(child.id()), how).unwrap();
            child.wait().unwrap();
        }
    }

    /// Ends every process of the server at once, as a lost machine does, and waits for their end.
    pub fn crash(&self) {
        let Some(mut child) = self.server.lock().unwrap().take() else {
            return;
        };
        let processes = children(child.id());
        for process in std::iter::once(child.id()).chain(processes.iter().copied()) {
            let _ = kill(pid(process), Signal::SIGKILL);
        }
        child.wait().unwrap();
        let started = Instant::now();
        while processes
            .iter()
            .any(|process| Path::new(&format!("/proc/{process}")).exists())
        {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "a process of the server goes on"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        // The next start says there that it is ready.
        let _ = fs::remove_file(self.folder.path().join("data/postmaster.pid"));
    }

    /// Sends a signal to every process of the server: frozen, it takes connections and answers nothing.
    pub fn signal_all(&self, signal: Signal) {
        let postmaster = self.server.lock().unwrap().as_ref().map(Child::id).unwrap();
        for process in std::iter::once(postmaster).chain(children(postmaster)) {
            let _ = kill(pid(process), signal);
        }
    }

    /// The application's URI of a database.
    pub fn uri(&self, database: &str) -> String {
        uri_at(self.port, database)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URI of a database for what makes and changes tables.
    pub fn owner_uri(&self, database: &str) -> String {
        format!(
            "postgres://rates_migrator:moving@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// A session as the application's role.
    pub async fn connect(&self, database: &str) -> Open {
        session(&self.uri(database)).await
    }

    /// A session as the superuser.
    pub async fn admin(&self, database: &str) -> Open {
        session(&format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)).await
    }

    /// The name of a new and empty database.
    pub async fn empty(&self) -> String {
        self.create("template1").await
    }

    /// The name of a new database with the given dump in it, not migrated.
    pub async fn loaded(&self, text: &str) -> String {
        let name = self.empty().await;
        dump::load(&*self.owner(&name).await, text).await;
        name
    }

    /// The name of a new database with the bundled seed, migrated. It is loaded once, and copied from then on.
    pub async fn seeded(&self) -> String {
        let load = async || {
            let name = self.loaded(rates_api::seed::dump::BUNDLED).await;
            self.migrate(&name).await;
            name
        };
        self.create(self.seed.get_or_init(load).await).await
    }

    /// Brings a database to the program's schema.
    pub async fn migrate(&self, database: &str) -> rates_api::migrate::Outcome {
        let address = Address::Uri(self.owner_uri(database));
        rates_api::migrate::migrate(
            &address,
            None,
            rates_api::migrations::migrations().unwrap(),
            &options(60),
        )
        .await
        .unwrap()
    }

    /// A session as the owner of the schema.
    pub async fn owner(&self, database: &str) -> Open {
        let session = session(&self.owner_uri(database)).await;
        session.batch_execute("SET ROLE rates_owner").await.unwrap();
        session
    }

    async fn create(&self, template: &str) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let admin = self.admin("postgres").await;
        let statement = format!("CREATE DATABASE {name} OWNER rates_owner TEMPLATE {template}");
        admin.batch_execute(&statement).await.unwrap();
        let private = format!("REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC");
        admin.batch_execute(&private).await.unwrap();
        name
    }

    /// The roles of the database pod's image, with what they may do in every database that is made from now on.
    fn make_roles(&self) {
        let make = async {
            let statements = "CREATE ROLE rates_owner NOLOGIN CREATEDB;
                 CREATE ROLE rates_migrator LOGIN PASSWORD 'moving' IN ROLE rates_owner;
                 CREATE ROLE rates_service NOLOGIN;
                 CREATE ROLE rates_load NOLOGIN;
                 CREATE ROLE rates_a LOGIN PASSWORD 'secret' IN ROLE rates_service;
                 CREATE ROLE rates_b LOGIN PASSWORD 'other' IN ROLE rates_service";
            let admin = self.admin("postgres").await;
            admin.batch_execute(statements).await.unwrap();
            let template = self.admin("template1").await;
            template.batch_execute(PRIVILEGES).await.unwrap();
        };
        let run = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(make);
        };
        // Tests that have a server of their own are inside of a runtime already.
        std::thread::scope(|scope| scope.spawn(run).join()).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut child) = self.server.lock().unwrap().take() {
            for process in std::iter::once(child.id()).chain(children(child.id())) {
                let _ = kill(pid(process), Signal::SIGCONT);
            }
            let _ = kill(pid(child.id()), Signal::SIGQUIT);
            let _ = child.wait();
        }
    }
}

/// The application's URI of a database, by a port that leads to its server.
pub fn uri_at(port: u16, database: &str) -> String {
    format!("postgres://rates_a:secret@127.0.0.1:{port}/{database}")
}

/// A session to use as the client that it is; it ends when this is dropped.
pub struct Open(Session);

impl std::ops::Deref for Open {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0.client
    }
}

/// How a migration of a test is run.
pub fn options(seconds: u64) -> rates_api::migrate::Options {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds);
    rates_api::migrate::Options {
        owner_role: "rates_owner".to_owned(),
        deadline,
    }
}

async fn session(uri: &str) -> Open {
    Open(
        connect(&uri.parse().unwrap(), Duration::from_secs(20))
            .await
            .unwrap(),
    )
}

fn pid(process: u32) -> Pid {
    Pid::from_raw(i32::try_from(process).unwrap())
}

/// The processes whose parent is the given one.
fn children(parent: u32) -> Vec<u32> {
    let has_parent = |stat: &Path| {
        fs::read_to_string(stat)
            .ok()
            .and_then(|text| {
                text.rsplit(')')
                    .next()?
                    .split_whitespace()
                    .nth(1)?
                    .parse::<u32>()
                    .ok()
            })
            .is_some_and(|found| found == parent)
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|process| has_parent(Path::new(&format!("/proc/{process}/stat"))))
        .collect()
}

/// One number from the database.
pub async fn number(client: &Client, statement: &str) -> i64 {
    client.query_one(statement, &[]).await.unwrap().get(0)
}
