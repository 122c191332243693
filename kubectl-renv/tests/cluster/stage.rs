//! The API server that all tests share, the command as a person runs it, and the operator's part.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use control_plane::{ControlPlane, Settings, remove_at_end};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

const ADMIN: &str = "admin";
/// Who may do nothing.
pub const STRANGER: &str = "stranger";
/// The account of a workflow for pull requests, in namespace `rightful`.
pub const WORKFLOW: &str = "system:serviceaccount:rightful:pull-requests";
const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

pub struct Server {
    control_plane: ControlPlane,
    kubectl: PathBuf,
    _remover: Child,
}

/// What a command left.
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Answer {
    /// It worked; gives its output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// It ended with this code, and said all of this on standard error.
    #[track_caller]
    pub fn refused(self, code: i32, said: &[&str]) {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        for text in said {
            assert!(self.stderr.contains(text), "{text:?} is not in {}", self.stderr);
        }
    }
}

pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let [kube, kubectl] = ["RATES_TEST_KUBE", "RATES_TEST_KUBECTL"].map(|variable| {
            let program = std::env::var_os(variable);
            PathBuf::from(program.unwrap_or_else(|| {
                panic!("{variable} is not set: `cargo xtask test --layer parts` runs these tests with all that they need")
            }))
        });
        let folder = tempfile::Builder::new()
            .prefix("kubectl-renv-tests-")
            .tempdir()
            .unwrap()
            .keep();
        let control_plane = ControlPlane::start(&Settings {
            kube: &kube,
            folder: &folder,
            users: &[(ADMIN, "system:masters"), (STRANGER, "strangers"), (WORKFLOW, "system:serviceaccounts")],
            audit_policy: &json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "None"}]}).to_string(),
            flags: &[],
        })
        .unwrap();
        let server = Server {
            control_plane,
            kubectl,
            _remover: remove_at_end(&folder).unwrap(),
        };
        let definition = format!("{FOLDER}/../crds/ratesenvironments.rates.internal.yaml");
        until("the definition is installed", || {
            server.kubectl(&["apply", "--server-side", "-f", &definition], "").code == 0
        });
        until("the kind is served", || server.kubectl(&["get", "renv"], "").code == 0);
        server
    })
}

impl Server {
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Answer {
        let mut child = Command::new(&self.kubectl)
            .arg("--kubeconfig")
            .arg(self.control_plane.kubeconfig(ADMIN))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.control_plane.kubeconfig(user)
    }
}

/// A namespace of its own.
pub struct Stage {
    pub namespace: &'static str,
}

impl Stage {
    pub fn new(namespace: &'static str) -> Self {
        server().kubectl(&["create", "namespace", namespace], "").ok();
        Self { namespace }
    }

    /// The command in this namespace.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-renv"));
        command
            .args(arguments)
            .env("HOME", "/nonexistent")
            .env("KUBECONFIG", server().kubeconfig(ADMIN));
        // Behind -- are another program's arguments.
        if !arguments.contains(&"--") {
            command.args(["-n", self.namespace]);
        }
        command
    }

    pub fn renv(&self, arguments: &[&str]) -> Answer {
        self.command(arguments).output().unwrap().into()
    }

    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Answer {
        server().kubectl(&[&["-n", self.namespace], arguments].concat(), input)
    }

    /// Makes the objects of a fixture, and what the operator and Kubernetes would write of them.
    pub fn leave(&self, fixture: &str) {
        let text = fs::read_to_string(format!("{FOLDER}/tests/fixtures/{fixture}.yaml")).unwrap();
        let text = text.replace("namespace: coast", &format!("namespace: {}", self.namespace));
        self.kubectl(&["create", "-f", "-"], &text).ok();
        for document in serde_yaml::Deserializer::from_str(&text) {
            let object = Value::deserialize(document).unwrap();
            if object["status"].is_null() {
                continue;
            }
            let [kind, name] =
                [&object["kind"], &object["metadata"]["name"]].map(|text| text.as_str().unwrap());
            let patch = json!({"status": object["status"]}).to_string();
            self.kubectl(
                &[
                    "patch",
                    kind,
                    name,
                    "--subresource=status",
                    "--type=merge",
                    "-p",
                    &patch,
                ],
                "",
            )
            .ok();
        }
    }

    /// Merges into the status of an environment, as of its newest generation.
    pub fn report(&self, name: &str, status: &Value) {
        let mut status = status.clone();
        status["observedGeneration"] = self.environment(name)["metadata"]["generation"].clone();
        let patch = json!({"status": status}).to_string();
        let arguments = [
            "patch",
            "renv",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        self.kubectl(&arguments, "").ok();
    }

    /// Says that an environment is Ready.
    pub fn report_ready(&self, name: &str) {
        self.report(
            name,
            &json!({
                "phase": "Ready", "message": "everything is as specified", "profile": "Preview",
                "url": format!("http://{name}.rates.example"),
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "Serving", "message": "it serves",
                    "lastTransitionTime": "2031-03-04T02:00:09Z",
                }],
            }),
        );
    }

    pub fn environment(&self, name: &str) -> Value {
        self.get("renv", name).unwrap()
    }

    pub fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let found = self
            .kubectl(&["get", kind, name, "--ignore-not-found", "-o", "json"], "")
            .ok();
        (!found.is_empty()).then(|| serde_json::from_str(&found).unwrap())
    }

    /// Removes an annotation, as the operator does once it has done what it asks for.
    pub fn take_annotation(&self, name: &str, annotation: &str) {
        until("the annotation is there", || {
            !self.environment(name)["metadata"]["annotations"][annotation].is_null()
        });
        self.kubectl(&["annotate", "renv", name, &format!("{annotation}-")], "")
            .ok();
    }
}

/// Looks until it holds.
#[track_caller]
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
