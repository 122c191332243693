//! A real etcd and kube-apiserver on loopback, one for all the tests of this binary.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use control_plane::{ControlPlane, Settings, flag, remove_at_end};
use futures::executor::block_on;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::objects::Reader;

const ADMIN: &str = "admin";
/// The operator's own service account, bound to what `manifests/` grants.
const OPERATOR: &str = "system:serviceaccount:rates-system:rates-operator";
/// The activator's, bound to what `manifests/` grants.
const ACTIVATOR: &str = "system:serviceaccount:rates-system:rates-activator";
/// The service account of an operator that serves `NAMESPACED` alone.
const NAMESPACED_OPERATOR: &str = "system:serviceaccount:one-namespace:rates-operator";
/// The kustomization for the whole cluster.
pub const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests");
/// The namespace that has an operator of its own; what that one asks for is in the audit log.
pub const NAMESPACED: &str = "one-namespace";

/// The server, with what a client needs to reach it.
pub struct Server {
    kubeconfig: PathBuf,
    dir: PathBuf,
    kubectl: PathBuf,
    control_plane: ControlPlane,
    reader: OnceLock<Reader>,
    _remover: Child,
}

/// What `kubectl` answered.
pub struct Answer {
    pub ok: bool,
    pub text: String,
}

/// The shared server.
pub fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(&["-k", MANIFESTS]))
}

/// A server for one test, which installs something else than `manifests/` at first.
pub fn with(installed: &[&str]) -> &'static Server {
    // Its keeper ends with the test process.
    Box::leak(Box::new(Server::start(installed)))
}

/// The program that a variable names. A test that is given none fails, and says how to give it.
pub fn needed(variable: &str) -> PathBuf {
    let Some(program) = std::env::var_os(variable) else {
        panic!(
            "{variable} is not set: `cargo xtask test --layer parts` runs these tests with all that they need"
        )
    };
    PathBuf::from(program)
}

impl Server {
    fn start(installed: &[&str]) -> Self {
        let [kube, kubectl] = ["RATES_TEST_KUBE", "RATES_TEST_KUBECTL"].map(needed);
        let dir = tempfile::Builder::new()
            .prefix("rates-operator-tests-")
            .tempdir()
            .unwrap()
            .keep();
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "users": [NAMESPACED_OPERATOR]}, {"level": "None"}],
        });
        let control_plane = ControlPlane::start(&Settings {
            kube: &kube,
            folder: &dir,
            users: &[
                (ADMIN, "system:masters"),
                (OPERATOR, "system:serviceaccounts"),
                (ACTIVATOR, "system:serviceaccounts"),
                (NAMESPACED_OPERATOR, "system:serviceaccounts"),
            ],
            audit_policy: &policy.to_string(),
            flags: &[],
        })
        .unwrap();
        let kubeconfig = control_plane.kubeconfig(ADMIN);
        let mut server = Self {
            kubeconfig,
            kubectl,
            control_plane,
            reader: OnceLock::new(),
            _remover: remove_at_end(&dir).unwrap(),
            dir,
        };
        server.wait_until_ready(installed);
        // It ends where the API server takes longer than 10 s to be ready, as on a busy machine.
        let controllers = [
            "garbage-collector-controller",
            "namespace-controller",
            "persistentvolumeclaim-protection-controller",
        ];
        let controllers = [
            flag("kubeconfig", server.kubeconfig.display()),
            flag("secure-port", 0),
            flag("leader-elect", false),
            flag("controllers", controllers.join(",")),
            flag("concurrent-gc-syncs", 4),
        ];
        server
            .control_plane
            .component("kube-controller-manager", &controllers)
            .unwrap();
        server
    }

    /// Applies what is to be installed as soon as the server takes it.
    fn wait_until_ready(&self, installed: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let answer = self.kubectl(&[&["apply", "--server-side"], installed].concat(), "");
            if answer.ok {
                break;
            }
            if answer.text.contains("is invalid") || Instant::now() > deadline {
                let tail = self.control_plane.tail("kube-apiserver");
                panic!(
                    "the API server did not take the manifests: {}\n{tail}",
                    answer.text
                );
            }
            // Nothing can be watched before the server listens.
            std::thread::sleep(Duration::from_millis(100));
        }
        let definition = "customresourcedefinition/ratesenvironments.rates.internal";
        let established = self.kubectl(
            &["wait", "--for=condition=Established", "--timeout=30s", definition],
            "",
        );
        assert!(established.ok, "{}", established.text);
        // Short names come with discovery, a moment after the kind is served.
        while !self.kubectl(&["explain", "renv"], "").ok {
            assert!(Instant::now() < deadline, "kubectl does not know renv");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A client that may do everything, for the calling test's runtime.
    pub async fn client(&self) -> Client {
        Client::try_from(self.config(ADMIN).await).unwrap()
    }

    /// A configuration with the operator's own identity.
    pub async fn operator_config(&self) -> Config {
        self.config(OPERATOR).await
    }

    async fn config(&self, token: &str) -> Config {
        Config::from_custom_kubeconfig(
            config(self.control_plane.url(), token),
            &KubeConfigOptions::default(),
        )
        .await
        .unwrap()
    }

    /// What reads objects for tests that do not want to start kubectl.
    pub fn reader(&self) -> &Reader {
        self.reader.get_or_init(|| {
            let config = config(self.control_plane.url(), ADMIN);
            let options = KubeConfigOptions::default();
            Reader::new(block_on(Config::from_custom_kubeconfig(config, &options)).unwrap())
        })
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig of the operator that serves one namespace.
    pub fn namespaced_kubeconfig(&self) -> PathBuf {
        self.control_plane.kubeconfig(NAMESPACED_OPERATOR)
    }

    /// A kubeconfig with the activator's identity.
    pub fn activator_kubeconfig(&self) -> PathBuf {
        self.control_plane.kubeconfig(ACTIVATOR)
    }

    /// A kubeconfig with the operator's own identity.
    pub fn operator_kubeconfig(&self) -> PathBuf {
        self.control_plane.kubeconfig(OPERATOR)
    }

    /// The administrator's kubeconfig and configuration, by way of another port of loopback.
    pub async fn by_way_of(&self, port: u16) -> (PathBuf, Config) {
        let config = config(&format!("https://127.0.0.1:{port}"), ADMIN);
        let path = self.dir.join(format!("kubeconfig-{port}"));
        fs::write(&path, serde_yaml::to_string(&config).unwrap()).unwrap();
        let options = KubeConfigOptions::default();
        (
            path,
            Config::from_custom_kubeconfig(config, &options).await.unwrap(),
        )
    }

    /// `HOST:PORT` of the server.
    pub fn address(&self) -> &str {
        self.control_plane.url().trim_start_matches("https://")
    }

    /// What the operator of `NAMESPACED` asked for, one event a request.
    pub fn audited(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.control_plane.audit_log()).unwrap();
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Takes some verbs of a kind from the operator.
    pub fn forbid(&self, kind: &str, verbs: &[&str]) {
        let mut role = self.role();
        let rules = role["rules"].as_array_mut().unwrap();
        let mut fewer = Vec::new();
        for rule in rules.iter_mut() {
            let resources = rule["resources"].as_array_mut().unwrap();
            let before = resources.len();
            resources.retain(|resource| resource != kind);
            if resources.len() < before {
                let mut less = rule.clone();
                less["resources"] = json!([kind]);
                let kept = less["verbs"].as_array_mut().unwrap();
                kept.retain(|verb| !verbs.contains(&verb.as_str().unwrap()));
                fewer.push(less);
            }
        }
        rules.retain(|rule| rule["resources"] != json!([]));
        rules.extend(fewer);
        self.replace_role(&role);
    }

    /// Gives the operator `verbs` of a kind of the core group.
    pub fn permit(&self, kind: &str, verbs: &[&str]) {
        let mut role = self.role();
        let rules = role["rules"].as_array_mut().unwrap();
        rules.push(json!({"apiGroups": [""], "resources": [kind], "verbs": verbs}));
        self.replace_role(&role);
    }

    fn role(&self) -> Value {
        let answer = self.kubectl(&["get", "clusterrole", "rates-operator", "-o", "json"], "");
        serde_json::from_str(&answer.text).unwrap()
    }

    fn replace_role(&self, role: &Value) {
        let answer = self.kubectl(&["replace", "-f", "-"], &role.to_string());
        assert!(answer.ok, "{}", answer.text);
    }

    /// Gives the operator back all that `manifests/` grants.
    pub fn permit_all(&self) {
        let apply = ["apply", "--server-side", "--force-conflicts", "-k", MANIFESTS];
        let answer = self.kubectl(&apply, "");
        assert!(answer.ok, "{}", answer.text);
    }

    /// A namespace for one test.
    pub async fn namespace(&self, name: &str) -> String {
        let namespaces: Api<Namespace> = Api::all(self.client().await);
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        };
        namespaces
            .create(
                &PostParams::default(),
                &Namespace {
                    metadata,
                    ..Namespace::default()
                },
            )
            .await
            .unwrap();
        name.to_owned()
    }

    /// Runs kubectl with `input` as its standard input.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Answer {
        let mut child = Command::new(&self.kubectl)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Answer {
            ok: output.status.success(),
            text,
        }
    }

    /// Applies a manifest as a person would.
    pub fn apply(&self, namespace: &str, manifest: &str) -> Answer {
        self.kubectl(
            &["-n", namespace, "apply", "--validate=strict", "-f", "-"],
            manifest,
        )
    }
}

fn config(url: &str, user: &str) -> Kubeconfig {
    serde_json::from_value(control_plane::kubeconfig(url, user)).unwrap()
}
