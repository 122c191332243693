//! What the local cluster's Prometheus finds to scrape: its own configuration and Debian's program, with discovery from a
//! real API server that has pods and a node, of which this process serves the metrics.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what helps tests fails as tests do"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use client::prometheus::Prometheus;
use control_plane::{ControlPlane, Settings, free_ports};
use serde_json::{Value, json};

const ADMIN: &str = "admin";
/// Whom the objects give the rights that discovery needs.
const ACCOUNT: &str = "system:serviceaccount:monitoring:prometheus";
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/monitoring");

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// Runs a command until standard input ends, which it does however this process ends.
const KEEPER: &str = "exec 3<&0; \"$@\" 3<&- & server=$!; cat <&3 >/dev/null; kill -9 $server";

fn needed(variable: &str) -> PathBuf {
    let Some(program) = std::env::var_os(variable) else {
        panic!(
            "{variable} is not set: `cargo xtask test --layer parts` runs these tests with all that they need"
        )
    };
    PathBuf::from(program)
}

struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    fn run(&self, arguments: &[&str], input: &Value) -> Result<String, String> {
        let mut child = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that does not read its input may have ended by now.
        let _ = child
            .stdin
            .take()
            .unwrap()
            .write_all(input.to_string().as_bytes());
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8(output.stderr).unwrap())
        }
    }

    fn apply(&self, object: &Value) {
        self.run(&["apply", "--server-side", "--filename=-"], object)
            .unwrap();
        if !object["status"].is_null() {
            let apply = ["apply", "--server-side", "--subresource=status", "--filename=-"];
            self.run(&apply, object).unwrap();
        }
    }
}

/// A program that ends with this, or with this process.
struct Running(Child);

impl Running {
    fn start(program: &Path, arguments: &[String], variables: &[(&str, &Path)], log: &Path) -> Self {
        let child = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(program)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(log).unwrap())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(started.elapsed() < PATIENCE, "{what}: {seen}"),
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Serves a metric on a port of loopback.
fn metrics() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            // A scrape's head is small and comes at once; whoever has gone needs no answer.
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: 12\r\n\
                 Connection: close\r\n\r\nanswered 1.0"
            );
        }
    });
    port
}

fn pod(name: &str, labels: &Value, containers: &[(&str, &str, u16)], phase: &str) -> Value {
    let containers: Vec<Value> = containers
        .iter()
        .map(|(container, port, number)| {
            json!({"name": container, "image": "x", "ports": [{"name": port, "containerPort": number}]})
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "team-a", "labels": labels},
        "spec": {"nodeName": "node-1", "containers": containers},
        "status": {"phase": phase, "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]},
    })
}

fn of_environment(component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "rates",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/instance": "shop",
    })
}

/// What `up --monitoring` applies is valid, and its pods may run in a restricted namespace.
fn objects_that_are_taken(kubectl: &Kubectl) -> Value {
    let objects = install::monitoring::objects("localhost/rates-monitoring:1", Path::new(MANIFESTS)).unwrap();
    until("the objects are taken", || {
        kubectl.run(&["apply", "--server-side", "--filename=-"], &objects)
    });
    let items = objects["items"].as_array().unwrap();
    let deployments: Vec<&Value> = items.iter().filter(|item| item["kind"] == "Deployment").collect();
    assert_eq!(deployments.len(), 2);
    for deployment in deployments {
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "template", "namespace": "monitoring"},
            "spec": deployment["spec"]["template"]["spec"],
        });
        kubectl
            .run(&["create", "--dry-run=server", "--filename=-"], &pod)
            .unwrap();
    }
    objects
}

/// A node, an environment with a pod of each component, and pods that are not to be scraped.
fn make_pods(kubectl: &Kubectl) {
    let [api, exporter, patroni] = [metrics(), metrics(), metrics()];
    kubectl.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}}));
    kubectl.apply(&json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    }));
    let operator = json!({"app.kubernetes.io/name": "rates-operator"});
    let other = json!({"app.kubernetes.io/name": "other"});
    let serving = [("api", "metrics", api)];
    let database = [
        ("postgres", "patroni", patroni),
        ("exporter", "metrics", exporter),
    ];
    for pod in [
        pod("shop-api-1", &of_environment("api"), &serving, "Running"),
        pod("shop-api-gone", &of_environment("api"), &serving, "Succeeded"),
        pod(
            "shop-postgres-0",
            &of_environment("postgres"),
            &database,
            "Running",
        ),
        pod(
            "rates-operator-1",
            &operator,
            &[("operator", "health", 8081)],
            "Running",
        ),
        pod("other", &other, &serving, "Running"),
    ] {
        kubectl.apply(&pod);
    }
}

/// Writes the configuration and the rules of the objects' ConfigMaps, with paths and addresses of this machine.
fn write_configuration(objects: &Value, folder: &Path, discovery: u16) {
    let data = |name: &str| {
        let items = objects["items"].as_array().unwrap();
        let map = items
            .iter()
            .find(|item| item["kind"] == "ConfigMap" && item["metadata"]["name"] == name);
        map.unwrap()["data"].as_object().unwrap().clone()
    };
    let rules = folder.join("rules");
    fs::create_dir(&rules).unwrap();
    for (name, text) in data("prometheus-rules") {
        fs::write(rules.join(name), text.as_str().unwrap()).unwrap();
    }
    let authority = folder.join("certs/apiserver.crt");
    let configuration = data("prometheus")["prometheus.yaml"]
        .as_str()
        .unwrap()
        .replace("127.0.0.1:9099", &format!("127.0.0.1:{discovery}"))
        .replace("/etc/prometheus/rules", rules.to_str().unwrap())
        .replace(
            "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
            authority.to_str().unwrap(),
        );
    fs::write(folder.join("prometheus.yaml"), configuration).unwrap();
}

/// The project's targets, each with its labels; of those that are served here also whether they are up.
fn found(prometheus: &Prometheus) -> Result<BTreeSet<String>, String> {
    let targets = prometheus.targets().map_err(|error| format!("{error:#}"))?;
    let described = targets.iter().filter_map(|target| {
        let label = |name: &str| target.labels[name].as_str().unwrap_or("-");
        let place = ["namespace", "environment", "pod", "container"]
            .map(label)
            .join(" ");
        match label("job") {
            // Its port is fixed, and no kubelet runs here.
            job @ "rates-operator" => Some(format!("{job} {place}")),
            job @ "kubelet" => {
                let path = target.url.split_once(":10250").map_or("", |(_, path)| path);
                Some(format!("{job} {} {path}", label("instance")))
            }
            job if job.starts_with("rates-") => Some(format!("{job} {place} {}", target.health)),
            _ => None,
        }
    });
    Ok(described.collect())
}

#[test]
fn every_pod_of_an_environment_is_scraped_under_its_labels() {
    let [kube, kubectl, prometheus] =
        ["RATES_TEST_KUBE", "RATES_TEST_KUBECTL", "RATES_TEST_PROMETHEUS"].map(needed);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut servers = ControlPlane::start(&Settings {
        kube: &kube,
        folder: folder.path(),
        users: &[(ADMIN, "system:masters"), (ACCOUNT, "system:serviceaccounts")],
        audit_policy: r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "None"}]}"#,
        flags: &[],
    })
    .unwrap();
    let kubectl = Kubectl {
        program: kubectl,
        kubeconfig: servers.kubeconfig(ADMIN),
    };
    until("the API server is ready", || {
        servers.alive().unwrap();
        kubectl.run(&["get", "--raw=/readyz"], &Value::Null)
    });
    let objects = objects_that_are_taken(&kubectl);
    make_pods(&kubectl);

    let [discovery, port] = free_ports().unwrap();
    write_configuration(&objects, folder.path(), discovery);
    let _discovery = Running::start(
        Path::new(env!("CARGO_BIN_EXE_prometheus-discovery")),
        &[format!("--listen=127.0.0.1:{discovery}")],
        &[("KUBECONFIG", &servers.kubeconfig(ACCOUNT))],
        &at("discovery.log"),
    );
    let _prometheus = Running::start(
        &prometheus,
        &[
            format!("--config.file={}", at("prometheus.yaml").display()),
            format!("--storage.tsdb.path={}", at("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ],
        &[],
        &at("prometheus.log"),
    );

    let asked = Prometheus::new(format!("http://127.0.0.1:{port}"));
    let expected: BTreeSet<String> = [
        "kubelet node-1 /metrics",
        "kubelet node-1 /metrics/cadvisor",
        "rates-api team-a shop shop-api-1 api up",
        "rates-operator team-a - rates-operator-1 operator",
        "rates-patroni team-a shop shop-postgres-0 postgres up",
        "rates-postgres team-a shop shop-postgres-0 exporter up",
    ]
    .map(str::to_owned)
    .into();
    until("the targets", || match found(&asked) {
        Ok(found) if found == expected => Ok(()),
        found => Err(format!(
            "{found:#?}; {}",
            fs::read_to_string(at("prometheus.log")).unwrap()
        )),
    });
    // The rules know whose pods are whose by what was scraped.
    until("a rule has a value", || {
        let info = asked
            .query("rates:pod:info{environment=\"shop\"}")
            .map_err(|error| format!("{error:#}"))?;
        if info.len() == 2 {
            Ok(())
        } else {
            Err(format!("{info:?}"))
        }
    });
}
