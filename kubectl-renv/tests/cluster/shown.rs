//! What is shown of environments that are there.

use serde_json::Value;

use crate::stage::{STRANGER, Stage, server, until};

#[test]
fn a_status_is_a_tree_of_what_is_there() {
    let stage = Stage::new("shown");
    stage.leave("fleet");
    let text = stage.renv(&["status", "fleet"]).ok();
    for part in [
        "shown/fleet  Production  Degraded",
        "PostgreSQL 13.5, 20Gi, 3 of 3 instances ready",
        "fleet-postgres-2  standby  in archive recovery  timeline 2, 32 MiB behind",
        "commits wait for it",
        "ImagePullBackOff",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let document: Value = serde_json::from_str(&stage.renv(&["status", "fleet", "-o", "json"]).ok()).unwrap();
    assert_eq!(document["database"]["members"][2]["lagBytes"], 33_554_432);
    assert_eq!(document["database"]["members"][2]["volume"]["phase"], "Bound");
    assert_eq!(document["phase"], "Degraded");
    assert_eq!(stage.renv(&["url", "fleet"]).ok(), "http://fleet-api.coast.svc\n");
}

#[test]
fn a_status_is_shown_again_with_each_change_until_the_environment_goes() {
    let stage = Stage::new("watched");
    stage.leave("preview");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("output");
    let mut watching = stage
        .command(&["status", "pr-42", "--watch", "-o", "json"])
        .stdout(std::fs::File::create(&path).unwrap())
        .spawn()
        .unwrap();
    let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
    until("the first look", || lines() == 1);
    stage.report(
        "pr-42",
        &serde_json::json!({"phase": "Progressing", "message": "api: new pods"}),
    );
    until("the second look", || lines() == 2);
    stage.kubectl(&["delete", "renv", "pr-42"], "").ok();
    assert!(watching.wait().unwrap().success());
    let text = std::fs::read_to_string(&path).unwrap();
    let last: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!(last["message"], "api: new pods");
}

#[test]
fn environments_are_listed() {
    let stage = Stage::new("listed");
    stage.leave("asleep");
    stage.leave("seeding");
    let text = stage.renv(&["list"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("NAME "), "{text}");
    assert!(
        lines[1].starts_with("tired ") && lines[1].contains("Asleep"),
        "{text}"
    );
    assert!(
        lines[2].starts_with("young ") && lines[2].ends_with("seed: loading"),
        "{text}"
    );
    let all: Value = serde_json::from_str(
        &stage
            .command(&["list", "-A", "-o", "json", "--"])
            .output()
            .map(|output| String::from_utf8(output.stdout).unwrap())
            .unwrap(),
    )
    .unwrap();
    let names: Vec<&Value> = all["environments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert!(names.contains(&&Value::from("tired")), "{names:?}");
}

#[test]
fn what_is_not_there_or_not_allowed_says_what_to_do() {
    let stage = Stage::new("absent");
    stage.leave("asleep");
    stage
        .renv(&["status", "tird"])
        .refused(3, &["no environment tird in namespace absent", "there is: tired"]);
    stage.renv(&["url", "tird"]).refused(3, &["tired"]);
    stage
        .renv(&["psql", "tired"])
        .refused(4, &["no primary to connect to", "kubectl renv wake tired --wait"]);
    let mut command = stage.command(&["status", "tired"]);
    let answer: crate::stage::Answer = command
        .env("KUBECONFIG", server().kubeconfig(STRANGER))
        .output()
        .unwrap()
        .into();
    answer.refused(
        1,
        &[
            "cannot read environment tired",
            "is forbidden",
            "ask an administrator",
        ],
    );
    stage
        .renv(&["status", "tired", "--kubeconfig", "/nonexistent/file"])
        .refused(1, &["cannot read the kubeconfig"]);
    stage.renv(&["list", "-A"]).refused(2, &["cannot be used with"]);
}

#[test]
fn logs_of_an_environment_without_pods_say_so() {
    let stage = Stage::new("silent");
    stage.leave("asleep");
    let answer = stage.renv(&["logs", "tired"]);
    assert!(
        answer.stderr.contains("no pods: silent/tired is Asleep"),
        "{}",
        answer.stderr
    );
    answer.ok();
}

#[test]
fn kubectl_completes_commands_options_and_names() {
    let stage = Stage::new("typing");
    stage.leave("asleep");
    let complete = |words: &[&str]| {
        stage
            .command(&[&["__complete", "--"], words].concat())
            .output()
            .unwrap()
    };
    let text = |words: &[&str]| String::from_utf8(complete(words).stdout).unwrap();
    assert!(
        text(&["st"]).starts_with("status\tShow an environment as a tree"),
        "{}",
        text(&["st"])
    );
    assert_eq!(text(&["status", "-n", "typing", "t"]), "tired\tAsleep\n:4\n");
    assert_eq!(
        text(&["status", "--namespace=typing", "t"]),
        "tired\tAsleep\n:4\n"
    );
    assert!(text(&["logs", "tired", "--fo"]).starts_with("--follow\t"));
    assert!(text(&["preview", ""]).contains("down\t"));
    assert!(text(&["rotate", "tired", "pass"]).starts_with("password\t"));
}
