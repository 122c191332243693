//! The previews of pull requests: the command, and the workflow's script on recorded events, against a stub of the
//! comments of GitHub's API.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::stage::{Answer, Stage, WORKFLOW, server, until};

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");
const TOKEN: &str = "ghs_token-of-the-run";

/// What the stub knows: the pull request as it is now, and the comments on it.
struct Known {
    pull_request: Value,
    comments: Vec<Value>,
    /// `METHOD PATH` of each request that writes.
    writes: Vec<String>,
    unauthorised: usize,
}

/// A stub of GitHub's API for one pull request.
struct Hub {
    address: String,
    known: Arc<Mutex<Known>>,
}

impl Hub {
    fn start() -> Self {
        let known = Arc::new(Mutex::new(Known {
            pull_request: json!({"state": "open", "labels": [{"name": "preview"}]}),
            // Somebody else's comment with our marker is not ours.
            comments: vec![
                json!({"id": 1, "user": {"login": "mallory"}, "body": "<!-- kubectl-renv preview pulls/pr-42 -->"}),
            ],
            writes: Vec::new(),
            unauthorised: 0,
        }));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let served = Arc::clone(&known);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (head, body) = request(&mut stream);
                let (status, answer) = served.lock().unwrap().answer(&head, &body);
                let answer = answer.to_string();
                // A client that has gone needs no answer.
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
                    answer.len()
                );
            }
        });
        Self { address, known }
    }

    fn ours(&self) -> Vec<String> {
        let known = self.known.lock().unwrap();
        let ours = known
            .comments
            .iter()
            .filter(|comment| comment["user"]["login"] != "mallory");
        ours.map(|comment| comment["body"].as_str().unwrap().to_owned())
            .collect()
    }

    fn is_now(&self, pull_request: Value) {
        self.known.lock().unwrap().pull_request = pull_request;
    }
}

impl Known {
    fn answer(&mut self, head: &str, body: &str) -> (&'static str, Value) {
        if !head
            .to_ascii_lowercase()
            .contains(&format!("authorization: bearer {}", TOKEN.to_ascii_lowercase()))
        {
            self.unauthorised += 1;
            return ("401 Unauthorized", json!({}));
        }
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let path = path.strip_prefix("/repos/org/rates/").unwrap();
        if method != "GET" {
            self.writes.push(format!("{method} {path}"));
        }
        let body = || serde_json::from_str::<Value>(body).unwrap()["body"].clone();
        match (method, path.split('?').next().unwrap()) {
            ("GET", "pulls/42") => ("200 OK", self.pull_request.clone()),
            ("GET", "issues/42/comments") => ("200 OK", Value::from(self.comments.clone())),
            ("POST", "issues/42/comments") => {
                let comment = json!({"id": self.comments.len() + 100, "user": {"login": "github-actions[bot]"}, "body": body()});
                self.comments.push(comment.clone());
                ("201 Created", comment)
            }
            (method, path) => {
                let id: u64 = path.strip_prefix("issues/comments/").unwrap().parse().unwrap();
                let index = self
                    .comments
                    .iter()
                    .position(|comment| comment["id"] == id)
                    .unwrap();
                if method == "DELETE" {
                    self.comments.remove(index);
                    return ("204 No Content", Value::Null);
                }
                assert_eq!(method, "PATCH");
                self.comments[index]["body"] = body();
                ("200 OK", self.comments[index].clone())
            }
        }
    }
}

fn request(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = stream.read(&mut part).unwrap();
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse::<usize>()
                    .ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return (head.to_owned(), body.to_owned());
            }
        }
        assert!(count > 0, "a request that ends early");
    }
}

/// The workflow's script on a recorded event.
fn script(stage: &Stage, hub: &Hub, event: &str) -> Command {
    let command = stage.command(&[]);
    let program = std::path::Path::new(command.get_program())
        .parent()
        .unwrap()
        .to_owned();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut script = Command::new(format!("{FOLDER}/../manifests/pull-requests/github/preview"));
    script
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("PATH", path)
        .env(
            "GITHUB_EVENT_PATH",
            format!("{FOLDER}/tests/fixtures/events/{event}.json"),
        )
        .env("GITHUB_API_URL", &hub.address)
        .env("GITHUB_REPOSITORY", "org/rates")
        .env("GITHUB_TOKEN", TOKEN)
        .env("PREVIEW_NAMESPACE", stage.namespace)
        .env(
            "PREVIEW_TEMPLATE",
            format!("{FOLDER}/../manifests/pull-requests/preview.yaml"),
        )
        .env("PREVIEW_IMAGE", "registry.example/rates-api:1");
    script
}

fn start(stage: &Stage, hub: &Hub, event: &str) -> Child {
    script(stage, hub, event).spawn().unwrap()
}

fn run(stage: &Stage, hub: &Hub, event: &str) -> Answer {
    script(stage, hub, event).output().unwrap().into()
}

fn commit(stage: &Stage) -> Value {
    let found = stage.get("renv", "pr-42").unwrap_or_default();
    found["metadata"]["annotations"]["rates.internal/commit"].clone()
}

/// Opened with the label, pushed to twice, and closed: one comment all the while, and none at the end.
#[test]
fn a_pull_request_has_one_environment_and_one_comment_until_it_is_closed() {
    let (stage, hub) = (Stage::new("pulls"), Hub::start());
    for (event, sha) in [
        ("opened", "1111111"),
        ("pushed", "2222222"),
        ("pushed-again", "3333333"),
    ] {
        let mut running = start(&stage, &hub, event);
        until("it is applied", || {
            commit(&stage)
                .as_str()
                .is_some_and(|commit| commit.starts_with(sha))
        });
        until("the comment is of this commit", || {
            hub.ours().iter().any(|comment| comment.contains(sha))
        });
        stage.report(
            "pr-42",
            &json!({"phase": "Progressing", "message": "api: new pods", "conditions": []}),
        );
        stage.report_ready("pr-42");
        assert!(running.wait().unwrap().success());
        let ours = hub.ours();
        assert_eq!(ours.len(), 1, "{ours:?}");
        assert!(
            ours[0].starts_with("<!-- kubectl-renv preview pulls/pr-42 -->\n"),
            "{}",
            ours[0]
        );
        for said in [
            "**Ready**",
            "http://pr-42.rates.example",
            sha,
            "sleeps after `2h`",
        ] {
            assert!(ours[0].contains(said), "{said:?} is not in {}", ours[0]);
        }
    }
    let made = stage.environment("pr-42");
    assert_eq!(made["spec"]["expose"]["host"], "pr-42.rates.example");
    assert_eq!(made["spec"]["api"]["image"], "registry.example/rates-api:1");
    assert_eq!(made["metadata"]["labels"]["rates.internal/pull-request"], "42");
    // The last run again, as somebody may do: nothing changes.
    run(&stage, &hub, "pushed-again").ok();
    assert_eq!(
        stage.environment("pr-42")["metadata"]["generation"],
        made["metadata"]["generation"]
    );

    hub.is_now(json!({"state": "closed", "labels": [{"name": "preview"}]}));
    run(&stage, &hub, "closed").ok();
    assert!(stage.get("renv", "pr-42").is_none());
    assert_eq!(hub.ours(), [""; 0]);
    // And one of a push that is run again after that makes nothing.
    run(&stage, &hub, "pushed").ok();
    assert!(stage.get("renv", "pr-42").is_none());
    let known = hub.known.lock().unwrap();
    assert_eq!(known.unauthorised, 0);
    assert_eq!(known.comments.len(), 1, "somebody else's comment was touched");
}

#[test]
fn one_that_is_closed_while_it_is_made_leaves_nothing() {
    let (stage, hub) = (Stage::new("closing"), Hub::start());
    let mut making = start(&stage, &hub, "opened");
    until("the comment is there", || !hub.ours().is_empty());
    hub.is_now(json!({"state": "closed", "labels": [{"name": "preview"}]}));
    run(&stage, &hub, "closed").ok();
    // Of the job that GitHub cancels, what it says does not count; but it must not put anything back.
    assert!(!making.wait().unwrap().success());
    assert!(stage.get("renv", "pr-42").is_none());
    assert_eq!(hub.ours(), [""; 0]);
}

#[test]
fn without_the_label_and_for_forks_nothing_is_made() {
    let (stage, hub) = (Stage::new("unasked"), Hub::start());
    hub.is_now(json!({"state": "open", "labels": []}));
    run(&stage, &hub, "opened").ok();
    hub.is_now(json!({"state": "open", "labels": [{"name": "preview"}]}));
    let said = run(&stage, &hub, "fork").ok();
    assert!(said.contains("from a fork"), "{said}");
    assert!(stage.get("renv", "pr-42").is_none());
    assert_eq!(hub.known.lock().unwrap().writes, [""; 0]);
}

#[test]
fn a_failure_is_said_in_the_comment_and_fails_the_run() {
    let (stage, hub) = (Stage::new("failing"), Hub::start());
    let mut running = script(&stage, &hub, "opened");
    let mut running = running.env("PREVIEW_TIMEOUT", "5s").spawn().unwrap();
    until("it is applied", || commit(&stage).is_string());
    let message = "api: cannot pull the image registry.example/rates-api:1";
    stage.report("pr-42", &json!({"phase": "Degraded", "message": message}));
    assert_eq!(running.wait().unwrap().code(), Some(4));
    let ours = hub.ours();
    assert!(
        ours.len() == 1 && ours[0].contains(message) && ours[0].contains("**Degraded**"),
        "{ours:?}"
    );
}

#[test]
fn an_environment_of_that_name_that_is_no_preview_is_left_alone() {
    let stage = Stage::new("foreign");
    stage.leave("preview");
    for command in ["up", "down", "comment"] {
        stage
            .renv(&["preview", command, "42"])
            .refused(1, &["was not made for pull request 42", "--prefix"]);
    }
    assert!(stage.get("renv", "pr-42").is_some());
    stage
        .renv(&["preview", "comment", "7"])
        .refused(3, &["there is no environment foreign/pr-7"]);
    // What is gone is gone.
    stage.renv(&["preview", "down", "7"]).ok();
}

#[test]
fn a_push_lets_a_preview_live_as_long_as_a_new_one_and_wakes_it() {
    let stage = Stage::new("pushed");
    let up = ["preview", "up", "42", "--ttl", "72h", "--no-wait"];
    stage.renv(&up).ok();
    let generation = || stage.environment("pr-42")["metadata"]["generation"].clone();
    let before = generation();
    stage.renv(&up).ok();
    assert_eq!(generation(), before);
    stage.renv(&["extend", "pr-42", "100h"]).ok();
    stage.report(
        "pr-42",
        &json!({"phase": "Asleep", "sleep": {"since": "2031-03-04T04:00:00.123456Z"}}),
    );
    stage.renv(&up).ok();
    let now = stage.environment("pr-42");
    assert_eq!(now["spec"]["lifetime"]["ttl"], "172h");
    assert!(now["metadata"]["annotations"]["rates.internal/wake"].is_string());
}

/// As the account that the sample has for it.
#[test]
fn the_rights_of_the_workflow_are_enough_and_let_it_read_no_secret() {
    let stage = Stage::new("rightful");
    let text = fs::read_to_string(format!("{FOLDER}/../manifests/pull-requests/rights.yaml")).unwrap();
    let (namespace, rights) = text.split_once("---\n").unwrap();
    assert!(namespace.contains("name: previews"));
    let rights = rights.replace("namespace: previews", "namespace: rightful");
    stage.kubectl(&["apply", "-f", "-"], &rights).ok();
    let renv = |arguments: &[&str]| -> Answer {
        let mut command = stage.command(arguments);
        command
            .env("KUBECONFIG", server().kubeconfig(WORKFLOW))
            .output()
            .unwrap()
            .into()
    };
    renv(&["preview", "up", "42", "--seed", "bundled", "--no-wait"]).ok();
    stage.report_ready("pr-42");
    renv(&["preview", "up", "42", "--seed", "bundled", "--timeout", "20s"]).ok();
    renv(&["preview", "comment", "42"]).ok();
    renv(&["preview", "down", "42"]).ok();
    let may = stage.kubectl(&["auth", "can-i", "get", "secrets", "--as", WORKFLOW], "");
    assert_eq!(may.stdout.trim(), "no");
}

/// What Argo CD would apply for pull request 42, by kustomize as it has it, is what the API server takes.
#[test]
fn what_the_application_set_applies_is_an_environment() {
    let stage = Stage::new("applied");
    let folder = format!("{FOLDER}/../manifests/pull-requests/argocd");
    let text = fs::read_to_string(format!("{folder}/application-set.yaml")).unwrap();
    let text = text
        .replace("{{.number}}", "42")
        .replace("{{.head_sha}}", "0123456789abcdef");
    assert!(!text.contains("{{"), "{text}");
    let set: Value = serde_yaml::from_str(&text).unwrap();
    let source = &set["spec"]["template"]["spec"]["source"];
    assert_eq!(source["path"], "manifests/pull-requests/argocd/preview");
    let overlay = tempfile::tempdir().unwrap();
    fs::copy(
        format!("{folder}/preview/environment.yaml"),
        overlay.path().join("environment.yaml"),
    )
    .unwrap();
    let kustomization = json!({"resources": ["environment.yaml"], "patches": source["kustomize"]["patches"]});
    fs::write(
        overlay.path().join("kustomization.yaml"),
        kustomization.to_string(),
    )
    .unwrap();
    let folder = overlay.path().to_str().unwrap();
    stage.kubectl(&["apply", "--server-side", "-k", folder], "").ok();
    assert_eq!(commit(&stage), "0123456789abcdef");
    let made = stage.environment("pr-42");
    assert_eq!(
        made["spec"]["api"]["image"],
        "registry.example/rates-api:0123456789abcdef"
    );
    // The plugin knows it as a preview, for comments.
    assert!(
        stage
            .renv(&["preview", "comment", "42"])
            .ok()
            .contains("`0123456789ab`")
    );
}

/// The same of the Flux Operator's inputs.
#[test]
fn what_the_resource_set_applies_is_an_environment() {
    let stage = Stage::new("fluxed");
    let text = fs::read_to_string(format!(
        "{FOLDER}/../manifests/pull-requests/flux/resource-set.yaml"
    ))
    .unwrap();
    let text = text
        .replace("<< inputs.id >>", "42")
        .replace("<< inputs.sha >>", "0123456789abcdef")
        .replace("namespace: previews", "namespace: fluxed");
    let (_, set) = text.split_once("---\n").unwrap();
    let set: Value = serde_yaml::from_str(set).unwrap();
    stage
        .kubectl(
            &["apply", "--server-side", "-f", "-"],
            &set["spec"]["resources"][0].to_string(),
        )
        .ok();
    assert_eq!(commit(&stage), "0123456789abcdef");
}
