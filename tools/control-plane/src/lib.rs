//! etcd and Kubernetes' own servers on loopback, without nodes, for tests and benchmarks. A whole cluster is
//! `tools/local-cluster`.
//!
//! All of it ends with the value and with the process that has it, however that ends: each server is kept by a shell
//! that reads from a pipe of that process.

use std::fmt::Display;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// What is wanted of it.
pub struct Settings<'a> {
    /// The program of etcd and of Kubernetes' components.
    pub kube: &'a Path,
    /// A folder that is there, for all files.
    pub folder: &'a Path,
    /// Names and groups; a user's token is its name.
    pub users: &'a [(&'a str, &'a str)],
    pub audit_policy: &'a str,
    /// Further flags of kube-apiserver.
    pub flags: &'a [String],
}

pub struct ControlPlane {
    kube: PathBuf,
    folder: PathBuf,
    url: String,
    servers: Vec<(String, Child)>,
}

/// Runs a command until it ends or standard input does.
const KEEPER: &str = r#"
exec 3<&0
"$@" 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -9 $server; } 2>/dev/null &
wait $server
status=$?
kill $! 2>/dev/null
exit $status
"#;

impl ControlPlane {
    /// Starts etcd and kube-apiserver; nothing is waited for.
    pub fn start(settings: &Settings<'_>) -> Result<Self> {
        let [client, peer, port] = free_ports()?;
        let [client, peer] = [client, peer].map(|port| format!("http://127.0.0.1:{port}"));
        let mut servers = Self {
            kube: settings.kube.to_path_buf(),
            folder: settings.folder.to_path_buf(),
            url: format!("https://127.0.0.1:{port}"),
            servers: Vec::new(),
        };
        let key = rcgen::KeyPair::generate().context("cannot make a key")?;
        servers.write("tokens.key", &key.serialize_pem())?;
        servers.write("tokens.pub", &key.public_key_pem())?;
        servers.write("audit-policy.yaml", settings.audit_policy)?;
        let rows = settings.users.iter().enumerate();
        let rows = rows.map(|(number, (name, groups))| format!("{name},{name},{number},{groups}\n"));
        servers.write("tokens", &rows.collect::<String>())?;
        for (user, _) in settings.users {
            let path = servers.kubeconfig(user);
            fs::write(&path, kubeconfig(&servers.url, user).to_string())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let file = |name: &str| settings.folder.join(name).display().to_string();
        let flags = [
            flag("data-dir", file("etcd")),
            "--unsafe-no-fsync".to_owned(),
            flag("listen-client-urls", &client),
            flag("advertise-client-urls", &client),
            flag("listen-peer-urls", &peer),
            flag("initial-advertise-peer-urls", &peer),
            flag("initial-cluster", format_args!("default={peer}")),
        ];
        servers.component("etcd", &flags)?;
        let mut flags = vec![
            flag("etcd-servers", &client),
            flag("bind-address", "127.0.0.1"),
            flag("advertise-address", "127.0.0.1"),
            flag("secure-port", port),
            flag("cert-dir", file("certs")),
            flag("token-auth-file", file("tokens")),
            flag("authorization-mode", "RBAC"),
            flag("service-cluster-ip-range", "198.19.192.0/20"),
            flag("service-account-issuer", "https://rates.invalid"),
            flag("service-account-key-file", file("tokens.pub")),
            flag("service-account-signing-key-file", file("tokens.key")),
            flag("endpoint-reconciler-type", "none"),
            // Pods need no token of an account here, as there is nothing in them.
            flag("disable-admission-plugins", "ServiceAccount"),
            flag("audit-policy-file", file("audit-policy.yaml")),
            flag("audit-log-path", servers.audit_log().display()),
        ];
        flags.extend_from_slice(settings.flags);
        servers.component("kube-apiserver", &flags)?;
        Ok(servers)
    }

    /// Starts another component of Kubernetes. Its output goes to a file.
    pub fn component(&mut self, name: &str, flags: &[String]) -> Result<()> {
        let log = self.folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let server = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&self.kube)
            .arg(name)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(file.try_clone().context("cannot share a file")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        self.servers.push((name.to_owned(), server));
        Ok(())
    }

    /// Fails, with the end of its log, if one of them has ended.
    pub fn alive(&mut self) -> Result<()> {
        for (name, server) in &mut self.servers {
            if let Some(status) = server.try_wait().context("cannot ask for a process")? {
                bail!("{name} ended with {status}: {}", tail(&self.folder, name));
            }
        }
        Ok(())
    }

    /// The end of a component's log.
    #[must_use]
    pub fn tail(&self, name: &str) -> String {
        tail(&self.folder, name)
    }

    /// The address of kube-apiserver, as `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The file with which a user of the settings reaches it.
    #[must_use]
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder.join(format!("{}.kubeconfig", user.replace(':', "-")))
    }

    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// The key with which tokens of service accounts are signed.
    #[must_use]
    pub fn token_key(&self) -> PathBuf {
        self.folder.join("tokens.key")
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for (_, server) in &mut self.servers {
            drop(server.stdin.take());
        }
        for (_, server) in &mut self.servers {
            let _ = server.wait();
        }
    }
}

/// Removes a folder once this process has ended, whatever still writes to it then.
pub fn remove_at_end(folder: &Path) -> Result<Child> {
    Command::new("sh")
        .args([
            "-c",
            "cat >/dev/null; until rm -rf \"$0\" 2>/dev/null; do sleep 0.1; done",
        ])
        .arg(folder)
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start a shell")
}

/// How a user of the settings reaches kube-apiserver under some address.
#[must_use]
pub fn kubeconfig(url: &str, user: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": url, "insecure-skip-tls-verify": true}}],
        "users": [{"name": "it", "user": {"token": user}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    })
}

/// `--NAME=VALUE`
pub fn flag(name: &str, value: impl Display) -> String {
    format!("--{name}={value}")
}

/// Ports of loopback that nobody listens on.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

fn tail(folder: &Path, name: &str) -> String {
    let text = fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(20).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use super::*;

    /// Stands for every component: notes its process, and goes on, but as `fails`.
    const COMPONENT: &str = "#!/bin/sh\necho $$ >\"$0.$1\"\n[ $1 != fails ] || exit 3\nexec sleep 1000\n";

    fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < deadline, "not within 20 s");
            sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn one_that_ends_is_named_and_all_end_with_the_value() {
        let folder = tempfile::tempdir().unwrap();
        let kube = folder.path().join("kube");
        fs::write(&kube, COMPONENT).unwrap();
        fs::set_permissions(&kube, fs::Permissions::from_mode(0o755)).unwrap();
        let mut servers = ControlPlane::start(&Settings {
            kube: &kube,
            folder: folder.path(),
            users: &[("admin", "system:masters")],
            audit_policy: "",
            flags: &[],
        })
        .unwrap();
        let process = |name: &str| {
            let pid = fs::read_to_string(folder.path().join(format!("kube.{name}"))).ok()?;
            Some(format!("/proc/{}", pid.strip_suffix('\n')?))
        };
        let processes = ["etcd", "kube-apiserver"].map(|name| eventually(|| process(name)));
        servers.alive().unwrap();
        servers.component("fails", &[]).unwrap();
        let ended = eventually(|| servers.alive().err()).to_string();
        assert!(ended.contains("fails ended with exit status: 3"), "{ended}");
        assert!(processes.iter().all(|process| Path::new(process).exists()));
        drop(servers);
        assert!(!processes.iter().any(|process| Path::new(process).exists()));
    }
}
