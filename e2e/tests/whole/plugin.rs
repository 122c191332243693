//! `kubectl renv`, as a person types it: each command once, in the life of one environment.

use std::fs;
use std::iter;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use client::environment::{Environment, PATIENCE};
use client::wait::{Look, until};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::trial::trial;

const COMMIT: &str = "0123456789abcdef";

pub fn trials() -> Vec<Trial> {
    vec![
        trial(
            "plugin::each_command_of_kubectl_renv_does_what_it_says",
            does_what_it_says,
        ),
        trial(
            "plugin::a_switchover_moves_the_primary_to_the_standby",
            a_switchover_moves_the_primary,
        ),
    ]
}

struct Plugin<'a> {
    environment: &'a Environment,
}

/// What a command left.
struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Plugin<'_> {
    /// `kubectl renv …`, found on PATH by kubectl. What is behind -- is another program's.
    fn run(&self, arguments: &[&str]) -> Result<Answer> {
        let own = arguments.iter().position(|argument| *argument == "--");
        let (ours, theirs) = arguments.split_at(own.unwrap_or(arguments.len()));
        let output = Command::new("kubectl")
            .arg("renv")
            .args(ours)
            .args(["--namespace", self.environment.kubectl.namespace()])
            .args(theirs)
            .stdin(Stdio::null())
            .output()
            .context("cannot start kubectl")?;
        Ok(Answer {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    fn ok(&self, arguments: &[&str]) -> Result<String> {
        let answer = self.run(arguments)?;
        ensure!(
            answer.code == Some(0),
            "{arguments:?} ended with {:?}: {}{}",
            answer.code,
            answer.stdout,
            answer.stderr
        );
        Ok(answer.stdout)
    }

    fn says(&self, arguments: &[&str], said: &[&str]) -> Result<()> {
        let text = self.ok(arguments)?;
        for part in said {
            ensure!(
                text.contains(part),
                "{part:?} is not in what {arguments:?} says:\n{text}"
            );
        }
        Ok(())
    }

    fn refused(&self, arguments: &[&str], code: i32, said: &str) -> Result<()> {
        let answer = self.run(arguments)?;
        ensure!(
            answer.code == Some(code) && answer.stderr.contains(said),
            "{arguments:?} ended with {:?}: {}",
            answer.code,
            answer.stderr
        );
        Ok(())
    }
}

fn does_what_it_says() -> Result<()> {
    let environment = Environment::new("plugin-42")?;
    let name = environment.name.as_str();
    let plugin = Plugin {
        environment: &environment,
    };
    plugin.refused(&["status", name], 3, "there is no environment")?;
    plugin.says(
        &[
            "create",
            "another",
            "--seed",
            "bundled",
            "--dry-run=server",
            "-o",
            "yaml",
        ],
        &["name: another"],
    )?;
    let up = [
        "preview", "up", "42", "--prefix", "plugin-", "--seed", "bundled", "--ttl", "2h", "--commit", COMMIT,
    ];
    plugin.says(&up, &["is Ready at http://"])?;
    looks(&plugin, name)?;
    completes(&plugin, name)?;
    // With one it is asked in the test of monitoring.
    plugin.refused(&["top", name], 1, "name it by --prometheus URL")?;
    let generation = || -> Result<Value> { Ok(environment.object()?["metadata"]["generation"].clone()) };
    let before = generation()?;
    plugin.ok(&up)?;
    ensure!(generation()? == before, "a second `up` changed the object");
    plugin.says(&["extend", name, "1h"], &["spec.lifetime.ttl is 3h"])?;
    ensure!(environment.object()?["spec"]["lifetime"]["ttl"] == "3h");
    plugin.refused(&["switchover", name], 1, "one database instance")?;
    changes(&plugin, name)?;
    plans(&plugin, name)?;
    reports(&plugin, name)?;
    copies(&plugin, name)?;
    plugin.says(&["preview", "down", "42", "--prefix", "plugin-"], &["is gone"])?;
    let left = environment.kubectl.list(
        "pods,persistentvolumeclaims",
        &format!("app.kubernetes.io/instance={name}"),
    )?;
    ensure!(left.is_empty(), "{} objects are left", left.len());
    plugin.refused(
        &["preview", "comment", "42", "--prefix", "plugin-"],
        3,
        "there is no environment",
    )
}

/// kubectl itself completes commands and names, by the program that the plugin prints.
fn completes(plugin: &Plugin<'_>, name: &str) -> Result<()> {
    let script = Command::new("kubectl")
        .args(["renv", "completion", "kubectl"])
        .output()
        .context("cannot start kubectl")?;
    ensure!(script.status.success(), "{script:?}");
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("kubectl_complete-renv");
    fs::write(&program, &script.stdout)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let before = std::env::var_os("PATH").context("no PATH")?;
    let folders = iter::once(folder.path().to_owned()).chain(std::env::split_paths(&before));
    let path = std::env::join_paths(folders)?;
    let complete = |words: &[&str]| -> Result<String> {
        let output = Command::new("kubectl")
            .args(["__complete", "renv"])
            .args(words)
            .env("PATH", &path)
            .output()
            .context("cannot start kubectl")?;
        Ok(String::from_utf8(output.stdout)?)
    };
    let commands = complete(&["swi"])?;
    ensure!(commands.starts_with("switchover"), "{commands}");
    let namespace = plugin.environment.kubectl.namespace();
    let names = complete(&["status", "--namespace", namespace, "plug"])?;
    // With what it is, which kubectl shows beside it.
    ensure!(
        names.lines().next() == Some(format!("{name}\tReady").as_str()),
        "{names}"
    );
    Ok(())
}

/// An environment with the data of another one.
fn copies(plugin: &Plugin<'_>, name: &str) -> Result<()> {
    let kubectl = &plugin.environment.kubectl;
    let create = ["create", "copied", "--from", name, "--wait"];
    let shared = json!({"spec": {"sharing": [{"namespaces": [kubectl.namespace()]}]}}).to_string();
    let renv = format!("renv/{name}");
    kubectl.run(["patch", &renv, "--type=merge", "-p", &shared])?;
    plugin.says(&create, &["environment copied is Ready at http://"])?;
    let prices = |name: &str| {
        let query = "SELECT count(*), sum(price) FROM prices";
        plugin.ok(&["psql", name, "--", "-XAtc", query])
    };
    let (original, copied) = (prices(name)?, prices("copied")?);
    ensure!(original == copied && original.len() > 4, "{copied} of {original}");
    plugin.says(
        &["status", "copied"],
        &[&format!("environment:{}/{name}", kubectl.namespace())],
    )?;
    kubectl.run(["delete", "renv/copied"])?;
    let selector = "app.kubernetes.io/instance=copied";
    until("nothing of the copy is left", PATIENCE, || {
        let left = kubectl.list("pods,persistentvolumeclaims", selector)?;
        Ok(if left.is_empty() {
            Look::Holds(())
        } else {
            Look::NotYet(format!("{} objects", left.len()))
        })
    })
}

fn a_switchover_moves_the_primary() -> Result<()> {
    let environment = Environment::new("plugin-pair")?;
    let name = environment.name.as_str();
    let plugin = Plugin {
        environment: &environment,
    };
    environment
        .apply(&json!({"profile": "Preview", "database": {"instances": 2, "seed": {"bundled": {}}}}))?;
    environment.wait_ready()?;
    environment.wait_condition("HighlyAvailable", "True")?;
    let primary = || -> Result<Value> { Ok(environment.object()?["status"]["database"]["primary"].clone()) };
    let standby = if primary()? == "plugin-pair-postgres-0" {
        "1"
    } else {
        "0"
    };
    let pod = format!("plugin-pair-postgres-{standby}");
    plugin.says(
        &["switchover", name, standby, "--wait"],
        &[&format!("{pod} is the primary")],
    )?;
    until("the status names the other one", PATIENCE, || {
        let now = primary()?;
        Ok(if now == pod {
            Look::Holds(())
        } else {
            Look::NotYet(now.to_string())
        })
    })?;
    environment.wait_condition("HighlyAvailable", "True")?;
    let prices = ["psql", name, "--", "-XAtc", "SELECT count(*) > 0 FROM prices"];
    ensure!(plugin.ok(&prices)?.trim() == "t");
    plugin.refused(&["switchover", name, "7"], 1, "plugin-pair")
}

/// What shows something, and changes nothing.
fn looks(plugin: &Plugin<'_>, name: &str) -> Result<()> {
    plugin.says(
        &["status", name],
        &[
            "Preview  Ready for",
            "PostgreSQL 13.5",
            "primary  running",
            "bundled, ",
            "expires in 1",
            "1 of 1 pod ready",
        ],
    )?;
    let document: Value = serde_json::from_str(&plugin.ok(&["status", name, "-o", "json"])?)?;
    ensure!(
        document["ready"] == true
            && document["database"]["members"][0]["role"] == "primary"
            && document["database"]["members"][0]["volume"]["phase"] == "Bound"
            && document["seed"]["done"] == true
            && document["unread"] == json!([]),
        "{document}"
    );
    plugin.says(&["list"], &["NAME", name, "Ready"])?;
    plugin.says(&["url", name], &["http://plugin-42-api.e2e-plugin-42.svc"])?;
    plugin.says(
        &["preview", "comment", "42", "--prefix", "plugin-"],
        &[
            "<!-- kubectl-renv preview e2e-plugin-42/plugin-42 -->",
            "**Ready**",
            "0123456789ab",
        ],
    )?;
    plugin.says(
        &["logs", name, "--timestamps"],
        &[
            "plugin-42-postgres-0/postgres ",
            "plugin-42-postgres-0/roles ",
            "/api ",
        ],
    )?;
    let api = plugin.ok(&["logs", name, "--part", "api"])?;
    ensure!(!api.is_empty() && !api.contains("-postgres-0/"), "{api}");
    follows(plugin, name)?;
    let count = ["psql", name, "--", "-XAtc"];
    let prices = plugin.ok(&[&count[..], &["SELECT count(*) > 0 FROM prices"]].concat())?;
    ensure!(prices.trim() == "t", "{prices}");
    let written = plugin.run(&[&count[..], &["DELETE FROM ports WHERE false"]].concat())?;
    ensure!(
        written.code != Some(0) && written.stderr.contains("read-only transaction"),
        "{}",
        written.stderr
    );
    let write = [
        "psql",
        name,
        "--write",
        "--",
        "-XAtc",
        "DELETE FROM ports WHERE false",
    ];
    plugin.says(&write, &["DELETE 0"])
}

/// The log of a request comes while it is followed.
fn follows(plugin: &Plugin<'_>, name: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("log");
    let mut following = Command::new("kubectl")
        .args([
            "renv",
            "logs",
            name,
            "-f",
            "--tail",
            "1",
            "--part",
            "api",
            "--namespace",
        ])
        .arg(plugin.environment.kubectl.namespace())
        .stdout(fs::File::create(&path)?)
        .spawn()?;
    let client = plugin.environment.client()?;
    let followed = until("a request is in the log that is followed", PATIENCE, || {
        client.rates("CNGGZ", "EETLL", "2021-01-01", "2021-01-02")?;
        let log = fs::read_to_string(&path)?;
        Ok(if log.contains("/rates") {
            Look::Holds(())
        } else {
            Look::NotYet(log)
        })
    });
    following.kill()?;
    following.wait()?;
    followed
}

/// What replaces pods and the token, and what ends pods for a while.
fn changes(plugin: &Plugin<'_>, name: &str) -> Result<()> {
    let environment = plugin.environment;
    let token = environment.ingest_token()?;
    plugin.says(
        &["rotate", name, "ingest-token", "--wait"],
        &["the ingest token is a new one"],
    )?;
    ensure!(environment.ingest_token()? != token, "the token is the same");
    let pods = || -> Result<Vec<String>> {
        let selector = format!("app.kubernetes.io/instance={name},app.kubernetes.io/component=api");
        let pods = environment.kubectl.list("pods", &selector)?;
        Ok(pods.iter().map(client::environment::label).collect())
    };
    let before = pods()?;
    plugin.says(&["restart", name, "--wait"], &["the API's pods are new"])?;
    until("the pods are others", PATIENCE, || {
        let now = pods()?;
        Ok(if now.len() == 1 && !before.contains(&now[0]) {
            Look::Holds(())
        } else {
            Look::NotYet(now.join(" "))
        })
    })?;
    environment.wait_ready()?;
    plugin.says(&["sleep", name, "--wait"], &["sleeps; its data are kept"])?;
    ensure!(pods()?.is_empty(), "it sleeps with pods of the API");
    plugin.says(&["wake", name, "--wait"], &["is Ready"])
}

/// What is planned is what an apply then does.
fn plans(plugin: &Plugin<'_>, name: &str) -> Result<()> {
    let environment = plugin.environment;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("environment.yaml");
    let file = path.to_str().context("a path that is no text")?;
    let plan = |spec: &Value| -> Result<Value> {
        fs::write(&path, environment.manifest(spec).to_string())?;
        Ok(serde_json::from_str(&plugin.ok(&["plan", file, "-o", "json"])?)?)
    };
    let same = plan(&json!({}))?;
    ensure!(same["action"] == "none", "{same}");
    let restarts = plan(&json!({"database": {"parameters": {"shared_buffers": "40MB"}}}))?;
    ensure!(
        restarts["database"]["parametersRestart"] == json!(["shared_buffers"]),
        "{restarts}"
    );
    let spec = json!({"api": {"config": {"log": "debug"}}, "database": {"parameters": {"work_mem": "5MB"}}});
    let planned = plan(&spec)?;
    ensure!(
        planned["api"]["rollout"] == true
            && planned["database"]["restarts"] == false
            && planned["database"]["parameters"] == json!(["work_mem"])
            && planned["database"]["parametersRestart"] == json!([])
            && planned["migration"] == false,
        "{planned}"
    );
    plugin.says(
        &["plan", file],
        &[
            "rollout, no request is lost",
            "reloads parameters, no restart: work_mem",
        ],
    )?;
    let uids = |component: &str| -> Result<Vec<Value>> {
        let selector = format!("app.kubernetes.io/instance={name},app.kubernetes.io/component={component}");
        let pods = environment.kubectl.list("pods", &selector)?;
        Ok(pods.iter().map(|pod| pod["metadata"]["uid"].clone()).collect())
    };
    let (database, api) = (uids("postgres")?, uids("api")?);
    environment.apply(&spec)?;
    environment.wait_ready()?;
    until("the API's pods are others", PATIENCE, || {
        let now = uids("api")?;
        Ok(if now.iter().any(|uid| api.contains(uid)) {
            Look::NotYet(format!("{now:?}"))
        } else {
            Look::Holds(())
        })
    })?;
    until("work_mem is in force", PATIENCE, || {
        let shown = environment.psql("SHOW work_mem")?;
        Ok(if shown == "5MB" {
            Look::Holds(())
        } else {
            Look::NotYet(shown)
        })
    })?;
    ensure!(uids("postgres")? == database, "the database was restarted");
    Ok(())
}

/// Everything is in the report but the values of the Secrets.
fn reports(plugin: &Plugin<'_>, name: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("report");
    plugin.says(
        &["report", name, "--output", &path.display().to_string()],
        &["No values of Secrets were read"],
    )?;
    let mut all = String::new();
    read(&path, &mut all)?;
    for part in [
        "plugin-42-postgres-0",
        "rates-operator",
        "PostgreSQL",
        "kubeletVersion",
    ] {
        ensure!(all.contains(part), "{part:?} is not in the report");
    }
    let selector = format!("app.kubernetes.io/instance={name}");
    let mut values = 0;
    for secret in plugin.environment.kubectl.list("secrets", &selector)? {
        let name = secret["metadata"]["name"].as_str().context("no name")?;
        for (key, encoded) in secret["data"].as_object().into_iter().flatten() {
            let value = plugin.environment.kubectl.secret(name, key)?;
            // What is no secret is short, or in the documents: names, hosts, ports.
            let is_secret = ["password", "token", "uri"].iter().any(|part| key.contains(part));
            if !is_secret {
                continue;
            }
            values += 1;
            let encoded = encoded.as_str().unwrap_or_default();
            ensure!(
                !all.contains(value.trim()) && !all.contains(encoded),
                "the value of {key} in Secret {name} is in the report"
            );
        }
    }
    ensure!(values >= 5, "only {values} values were looked for");
    Ok(())
}

fn read(folder: &Path, all: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, all)?;
        } else {
            all.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}
