//! A real etcd, API server, controller manager and scheduler on loopback, and nodes of kwok's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::machine::{Machine, Process, pause};
use control_plane::{ControlPlane, Settings, flag};
use host::{command, workspace};

/// Who asks, as the audit log names them.
pub const OPERATOR: &str = "system:serviceaccount:rates-system:rates-operator";
pub const APPLIER: &str = "applier";
const ADMIN: &str = "admin";

const NODES: usize = 10;
/// Requests a second of each client that would otherwise hold itself back.
const RATE: u32 = 5000;

const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
# Who leads is said every two seconds.
- level: None
  resources: [{group: coordination.k8s.io}]
- level: Metadata
  users: ["system:serviceaccount:rates-system:rates-operator", "applier"]
- level: None
"#;

/// Nothing of a volume is looked for: there is no volume behind a claim.
const SCHEDULER: &str = r"
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
leaderElection: {leaderElect: false}
clientConnection: {kubeconfig: KUBECONFIG, qps: 5000, burst: 10000}
profiles:
- plugins:
    multiPoint:
      disabled: [{name: VolumeBinding}, {name: VolumeRestrictions}, {name: VolumeZone}, {name: NodeVolumeLimits}]
";

/// Kubernetes without kubelets, in a folder; all of it ends when this is dropped.
pub struct Servers {
    control_plane: ControlPlane,
    kwok: Option<Process>,
    folder: PathBuf,
    kubectl: PathBuf,
}

impl Servers {
    /// Starts all of it empty but for what `manifests/` installs, the nodes and the namespaces.
    pub fn start(machine: &Machine, name: &str, namespaces: &[String]) -> Result<Self> {
        let folder = machine.work().join(name);
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let control_plane = ControlPlane::start(&Settings {
            kube: &machine.kube,
            folder: &folder,
            users: &[
                (ADMIN, "system:masters"),
                (APPLIER, "appliers"),
                (OPERATOR, "system:serviceaccounts"),
            ],
            audit_policy: AUDIT_POLICY,
            flags: &[
                flag("audit-log-mode", "batch"),
                flag("audit-log-batch-max-wait", "1s"),
                flag("audit-log-maxsize", 4096),
            ],
        })?;
        let admin = control_plane.kubeconfig(ADMIN).display().to_string();
        write(
            &folder,
            "scheduler.yaml",
            &SCHEDULER.replace("KUBECONFIG", &admin),
        )?;
        write(&folder, "kwok.yaml", include_str!("kwok.yaml"))?;
        let file = |name: &str| folder.join(name).display().to_string();
        let mut servers = Self {
            control_plane,
            kwok: None,
            folder: folder.clone(),
            kubectl: machine.simulated.kubectl.clone(),
        };
        servers.install(namespaces)?;
        let controllers = controllers(&servers.control_plane, &admin);
        servers
            .control_plane
            .component("kube-controller-manager", &controllers)?;
        let scheduler = [flag("config", file("scheduler.yaml")), flag("secure-port", 0)];
        servers.control_plane.component("kube-scheduler", &scheduler)?;
        servers.kwok = Some(Process::start(
            "kwok",
            &machine.simulated.kwok,
            &[
                flag("config", file("kwok.yaml")),
                flag("kubeconfig", &admin),
                "--manage-all-nodes".to_owned(),
            ],
            &[("HOME", &file("home"))],
            &folder,
        )?);
        servers.until("the nodes are ready", |servers| {
            let ready = servers.kubectl(&["wait", "--for=condition=Ready", "--timeout=2s", "nodes", "--all"]);
            Ok(ready.is_ok())
        })?;
        Ok(servers)
    }

    fn install(&mut self, namespaces: &[String]) -> Result<()> {
        self.until("the API server is ready", |servers| {
            Ok(servers.kubectl(&["get", "--raw=/readyz"]).is_ok())
        })?;
        let manifests = workspace::root().join("manifests");
        let manifests = manifests.display().to_string();
        self.until("the manifests are taken", |servers| {
            Ok(servers
                .kubectl(&["apply", "--server-side", "-k", &manifests])
                .is_ok())
        })?;
        // What would run is run by the benchmark.
        self.kubectl(&["-n", "rates-system", "delete", "deployment", "rates-operator"])?;
        let node = |number: usize| {
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {
                "name": format!("node-{number}"), "annotations": {"kwok.x-k8s.io/node": "fake"},
            }})
        };
        let namespace =
            |name: &String| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let applier = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": APPLIER},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": APPLIER}],
        });
        let mut items: Vec<_> = (0..NODES).map(node).collect();
        items.extend(namespaces.iter().map(namespace));
        items.push(applier);
        self.apply(
            "base.json",
            &json!({"apiVersion": "v1", "kind": "List", "items": items}),
        )?;
        self.kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "customresourcedefinition/ratesenvironments.rates.internal",
        ])?;
        Ok(())
    }

    /// Waits for something, and fails if a process ends meanwhile or it takes minutes.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + Duration::from_mins(20);
        while !holds(self)? {
            self.control_plane.alive()?;
            self.kwok.as_mut().map_or(Ok(()), Process::alive)?;
            if Instant::now() > deadline {
                bail!("not within 20 minutes: {what}");
            }
            pause(100)?;
        }
        Ok(())
    }

    /// What kubectl prints, as the administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        command::output(self.kubectl_as(ADMIN).args(arguments).stderr(Stdio::piped()))
    }

    /// Applies a document through a file.
    pub fn apply(&self, name: &str, document: &serde_json::Value) -> Result<()> {
        write(&self.folder, name, &document.to_string())?;
        let file = self.folder.join(name).display().to_string();
        self.kubectl(&["apply", "--server-side", "-f", &file]).map(drop)
    }

    fn kubectl_as(&self, user: &str) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig(user))
            .arg("--cache-dir")
            .arg(self.folder.join("kubectl-cache"));
        command
    }

    /// Starts kubectl as a user of its own.
    pub fn start_applying(&self, children: &Path) -> Result<Process> {
        let arguments = [
            flag("kubeconfig", self.kubeconfig(APPLIER).display()),
            flag("cache-dir", self.folder.join("kubectl-cache").display()),
            "apply".to_owned(),
            "--server-side".to_owned(),
            flag("filename", children.display()),
        ];
        Process::start("kubectl", &self.kubectl, &arguments, &[], &self.folder)
    }

    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.control_plane.kubeconfig(user)
    }

    pub fn audit_log(&self) -> PathBuf {
        self.control_plane.audit_log()
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn controllers(control_plane: &ControlPlane, kubeconfig: &str) -> Vec<String> {
    // Volumes are bound by kwok.
    let without =
        ["binder", "attach-detach", "expander"].map(|name| format!("-persistentvolume-{name}-controller"));
    vec![
        flag("kubeconfig", kubeconfig),
        flag("secure-port", 0),
        flag("leader-elect", false),
        flag(
            "service-account-private-key-file",
            control_plane.token_key().display(),
        ),
        flag("kube-api-qps", RATE),
        flag("kube-api-burst", RATE * 2),
        flag("controllers", format!("*,{}", without.join(","))),
    ]
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
