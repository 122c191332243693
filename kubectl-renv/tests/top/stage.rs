//! A Prometheus that scrapes this process, and the command as a person runs it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs a command until standard input ends, which it does however this process ends.
const KEEPER: &str = "exec 3<&0; \"$@\" 3<&- & server=$!; cat <&3 >/dev/null; kill -9 $server";

/// Records the rungs of the ladder from metrics of the same last name.
const RULES: &str = r"
groups:
  - name: ladder
    interval: 1s
    rules:
      - {record: 'rates:saturation:api_processors', expr: test_api_processors}
      - {record: 'rates:saturation:connections', expr: test_connections}
      - {record: 'rates:saturation:locks', expr: test_locks}
      - {record: 'rates:saturation:volume', expr: test_volume / test_size}
";

const METRICS: &str = r#"
test_api_processors{namespace="team-a",environment="shop"} 0.25
test_connections{namespace="team-a",environment="shop"} 0.95
test_locks{namespace="team-a",environment="shop"} 1
test_api_processors{namespace="team-a",environment="quiet"} 0.01
test_api_processors{namespace="team-b",environment="shop"} 0.5
test_volume{namespace="team-b",environment="shop"} 0
test_size{namespace="team-b",environment="shop"} 0
"#;

/// A Prometheus of its own. It ends with this, or with this process.
pub struct Prometheus {
    pub address: String,
    metrics: Arc<Mutex<String>>,
    process: Child,
    _folder: TempDir,
}

/// The one that most tests share.
pub fn shared() -> &'static Prometheus {
    static SHARED: OnceLock<Prometheus> = OnceLock::new();
    SHARED.get_or_init(|| {
        let prometheus = Prometheus::start(RULES);
        prometheus.set(METRICS);
        until("every ladder is recorded", || {
            let output = top(&["-A", "-o", "json", "--prometheus", &prometheus.address]);
            output.code == 0 && output.stdout.matches("\"name\"").count() == 3
        });
        prometheus
    })
}

impl Prometheus {
    pub fn start(rules: &str) -> Self {
        let program = std::env::var_os("RATES_TEST_PROMETHEUS")
            .expect("RATES_TEST_PROMETHEUS must name the program: cargo xtask test --layer parts sets it");
        let folder = tempfile::tempdir().unwrap();
        let (metrics, target) = exposition();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("rules.yaml"), rules).unwrap();
        fs::write(
            at("prometheus.yaml"),
            format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yaml]\nscrape_configs:\n  \
                 - {{job_name: test, honor_labels: true, static_configs: [{{targets: ['{target}']}}]}}\n"
            ),
        )
        .unwrap();
        let port = free_port();
        let mut process = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(program)
            .arg(format!("--config.file={}", at("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", at("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(at("log")).unwrap())
            .spawn()
            .unwrap();
        let address = format!("127.0.0.1:{port}");
        until("Prometheus is ready", || {
            assert!(
                process.try_wait().unwrap().is_none(),
                "it ended: {}",
                fs::read_to_string(at("log")).unwrap()
            );
            answer(&address, "/-/ready").is_some_and(|answer| answer.contains(" 200 "))
        });
        Self {
            address: format!("http://{address}"),
            metrics,
            process,
            _folder: folder,
        }
    }

    /// What it scrapes from now on.
    pub fn set(&self, metrics: &str) {
        metrics.clone_into(&mut self.metrics.lock().unwrap());
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

/// A server of metrics that can be changed.
fn exposition() -> (Arc<Mutex<String>>, String) {
    let metrics = Arc::new(Mutex::new(String::new()));
    let served = Arc::clone(&metrics);
    let target = serve(move |_| {
        (
            "200 OK",
            "text/plain; version=0.0.4",
            served.lock().unwrap().clone(),
        )
    });
    (metrics, target)
}

/// Answers every request on a port of loopback by its first line; gives the address.
pub fn serve(answer: impl Fn(&str) -> (&'static str, &'static str, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = Vec::new();
            let mut part = [0; 4096];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut part) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => request.extend_from_slice(&part[..count]),
                }
            }
            let request = String::from_utf8_lossy(&request);
            let (status, kind, body) = answer(request.lines().next().unwrap_or_default());
            // A client that has gone needs no answer.
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    address
}

fn answer(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// A port that nobody has now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// What a run of the command left.
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The command, without a kubeconfig and without settings of this machine.
pub fn command(kubeconfig: Option<&Path>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-renv"));
    command
        .env_remove("RATES_PROMETHEUS")
        .env("HOME", "/nonexistent")
        .env(
            "KUBECONFIG",
            kubeconfig.unwrap_or(Path::new("/nonexistent/config")),
        );
    command
}

/// `kubectl renv top` with these arguments.
pub fn top(arguments: &[&str]) -> Output {
    run(command(None).arg("top").args(arguments))
}

pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A kubeconfig in a folder, whose current context has a namespace.
pub fn kubeconfig(folder: &TempDir, server: &str, namespace: &str) -> PathBuf {
    let path = folder.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n\
         contexts:\n- {{name: here, context: {{cluster: c, user: u, namespace: {namespace}}}}}\n\
         - {{name: there, context: {{cluster: c, user: u}}}}\n"
    );
    fs::write(&path, text).unwrap();
    path
}

/// Looks until it holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < PATIENCE,
            "not within {} s: {what}",
            PATIENCE.as_secs()
        );
        thread::sleep(Duration::from_millis(100));
    }
}
