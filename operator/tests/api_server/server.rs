//! A real etcd and kube-apiserver on loopback, one for all the tests of this binary.
//!
//! They end with the test process, however that ends: a shell keeps them for as long as a pipe
//! from the test process stays open.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig};
use kube::config::{NamedAuthInfo, NamedCluster, NamedContext};
use kube::{Client, Config};
use serde_json::{Value, json};

const ADMIN: &str = "admin-of-the-tests";
/// The token of the operator's own service account, bound to what `manifests/` grants.
const OPERATOR: &str = "operator-of-the-tests";
/// The token of the service account of an operator that serves `NAMESPACED` alone.
const NAMESPACED_OPERATOR: &str = "operator-of-one-namespace";
/// The kustomization for the whole cluster.
pub const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests");
/// The namespace that has an operator of its own; what that one asks for is in the audit log.
pub const NAMESPACED: &str = "one-namespace";

const KEEPER: &str = r#"
"$KUBE" etcd --data-dir "$DIR/etcd" --unsafe-no-fsync \
  --listen-client-urls "http://127.0.0.1:$ETCD" --advertise-client-urls "http://127.0.0.1:$ETCD" \
  --listen-peer-urls "http://127.0.0.1:$PEER" --initial-advertise-peer-urls "http://127.0.0.1:$PEER" \
  --initial-cluster "default=http://127.0.0.1:$PEER" >"$DIR/etcd.log" 2>&1 &
etcd=$!
"$KUBE" kube-apiserver --etcd-servers "http://127.0.0.1:$ETCD" --bind-address 127.0.0.1 \
  --advertise-address 127.0.0.1 --secure-port "$PORT" --cert-dir "$DIR/certs" \
  --token-auth-file "$DIR/tokens" --authorization-mode RBAC --service-cluster-ip-range 198.19.192.0/20 \
  --service-account-issuer https://tests --service-account-key-file "$DIR/sa.pub" \
  --service-account-signing-key-file "$DIR/sa.key" --endpoint-reconciler-type none \
  --audit-policy-file "$DIR/audit.yaml" --audit-log-path "$DIR/audit.log" \
  --disable-admission-plugins ServiceAccount >"$DIR/apiserver.log" 2>&1 &
api=$!
"$KUBE" kube-controller-manager --kubeconfig "$DIR/kubeconfig" --secure-port 0 \
  --leader-elect=false \
  --controllers garbage-collector-controller,namespace-controller,persistentvolumeclaim-protection-controller \
  --concurrent-gc-syncs 4 >"$DIR/controllers.log" 2>&1 &
controllers=$!
cat >/dev/null
kill -9 $controllers $api $etcd 2>/dev/null
wait 2>/dev/null
rm -rf "$DIR"
"#;

/// The server, with what a client needs to reach it.
pub struct Server {
    kubeconfig: PathBuf,
    dir: PathBuf,
    kubectl: PathBuf,
    url: String,
    _keeper: Child,
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
        let [etcd, peer, port] = free_ports();
        let url = format!("https://127.0.0.1:{port}");
        let key = rcgen::KeyPair::generate().unwrap();
        fs::write(dir.join("sa.key"), key.serialize_pem()).unwrap();
        fs::write(dir.join("sa.pub"), key.public_key_pem()).unwrap();
        fs::write(
            dir.join("tokens"),
            format!(
                "{ADMIN},admin,1,system:masters\n\
                 {OPERATOR},system:serviceaccount:rates-system:rates-operator,2,system:serviceaccounts\n\
                 {NAMESPACED_OPERATOR},system:serviceaccount:{NAMESPACED}:rates-operator,3,system:serviceaccounts\n"
            ),
        )
        .unwrap();
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [
                {"level": "Metadata", "users": [format!("system:serviceaccount:{NAMESPACED}:rates-operator")]},
                {"level": "None"},
            ],
        });
        fs::write(dir.join("audit.yaml"), policy.to_string()).unwrap();
        let kubeconfig = dir.join("kubeconfig");
        fs::write(&kubeconfig, serde_yaml::to_string(&config(&url, ADMIN)).unwrap()).unwrap();
        let keeper = Command::new("sh")
            .args(["-c", KEEPER])
            .env("KUBE", kube)
            .env("DIR", &dir)
            .env("ETCD", etcd.to_string())
            .env("PEER", peer.to_string())
            .env("PORT", port.to_string())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Self {
            kubeconfig,
            dir: dir.clone(),
            kubectl,
            url,
            _keeper: keeper,
        };
        server.wait_until_ready(&dir, installed);
        server
    }

    /// Applies what is to be installed as soon as the server takes it.
    fn wait_until_ready(&self, dir: &Path, installed: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let answer = self.kubectl(&[&["apply", "--server-side"], installed].concat(), "");
            if answer.ok {
                break;
            }
            if answer.text.contains("is invalid") || Instant::now() > deadline {
                let mut log = String::new();
                fs::File::open(dir.join("apiserver.log"))
                    .unwrap()
                    .read_to_string(&mut log)
                    .unwrap();
                let tail: String = log.lines().rev().take(20).collect::<Vec<_>>().join("\n");
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
        Config::from_custom_kubeconfig(config(&self.url, token), &KubeConfigOptions::default())
            .await
            .unwrap()
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig of the operator that serves one namespace.
    pub fn namespaced_kubeconfig(&self) -> PathBuf {
        self.kubeconfig_of("namespaced", NAMESPACED_OPERATOR)
    }

    /// A kubeconfig with the operator's own identity.
    pub fn operator_kubeconfig(&self) -> PathBuf {
        self.kubeconfig_of("operator", OPERATOR)
    }

    fn kubeconfig_of(&self, who: &str, token: &str) -> PathBuf {
        let path = self.dir.join(format!("kubeconfig-{who}"));
        fs::write(&path, serde_yaml::to_string(&config(&self.url, token)).unwrap()).unwrap();
        path
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
        self.url.trim_start_matches("https://")
    }

    /// What the operator of `NAMESPACED` asked for, one event a request.
    pub fn audited(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.dir.join("audit.log")).unwrap();
        log.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
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

fn config(url: &str, token: &str) -> Kubeconfig {
    Kubeconfig {
        clusters: vec![NamedCluster {
            name: "tests".to_owned(),
            cluster: Some(Cluster {
                server: Some(url.to_owned()),
                insecure_skip_tls_verify: Some(true),
                ..Cluster::default()
            }),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: "tests".to_owned(),
            auth_info: Some(AuthInfo {
                token: Some(token.to_owned().into()),
                ..AuthInfo::default()
            }),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: "tests".to_owned(),
            context: Some(Context {
                cluster: "tests".to_owned(),
                user: Some("tests".to_owned()),
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        current_context: Some("tests".to_owned()),
        ..Kubeconfig::default()
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
