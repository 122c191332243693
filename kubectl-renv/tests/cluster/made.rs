//! Environments that the command makes.

use std::thread;

use crate::stage::{Stage, until};

#[test]
fn an_environment_is_made_and_waited_for() {
    let stage = Stage::new("making");
    let answer = thread::scope(|scope| {
        let making = scope.spawn(|| {
            stage.renv(&[
                "create",
                "pr-42",
                "--seed",
                "bundled",
                "--ttl",
                "72h",
                "--sleep-after",
                "2h",
                "--wait",
            ])
        });
        until("it is there", || stage.get("renv", "pr-42").is_some());
        stage.report(
            "pr-42",
            &serde_json::json!({"phase": "Seeding", "message": "seed: loading"}),
        );
        stage.report_ready("pr-42");
        making.join().unwrap()
    });
    assert!(
        answer.stderr.contains("Seeding: seed: loading"),
        "{}",
        answer.stderr
    );
    assert_eq!(
        answer.ok(),
        "environment pr-42 is Ready at http://pr-42.rates.example\n"
    );
    let made = stage.environment("pr-42");
    assert_eq!(
        made["spec"]["database"]["seed"],
        serde_json::json!({"bundled": {}})
    );
    assert_eq!(made["spec"]["lifetime"]["ttl"], "72h");
    stage.renv(&["create", "pr-42"]).refused(1, &["already exists"]);
}

#[test]
fn a_dry_run_prints_what_kubectl_takes() {
    let stage = Stage::new("dry");
    let yaml = stage
        .renv(&[
            "create",
            "x",
            "--profile",
            "staging",
            "--image",
            "i:1",
            "--dry-run=client",
            "-o",
            "yaml",
        ])
        .ok();
    assert!(yaml.contains("profile: Staging"), "{yaml}");
    assert!(stage.get("renv", "x").is_none());
    stage.kubectl(&["create", "-f", "-"], &yaml).ok();
    stage
        .renv(&[
            "create",
            "y",
            "--profile",
            "Production",
            "--sleep-after",
            "2h",
            "--dry-run=server",
        ])
        .refused(1, &["Production"]);
    assert!(stage.get("renv", "y").is_none());
}

#[test]
fn what_cannot_be_made_is_refused_with_the_reason() {
    let stage = Stage::new("refusing");
    stage
        .renv(&["create", "x", "--seed", "bundle"])
        .refused(2, &["configmap:NAME/KEY"]);
    stage
        .renv(&["create", "x", "--ttl", "3d"])
        .refused(2, &["72h, 2h30m or 90s"]);
    stage
        .renv(&["create", "x", "--ttl", "1s"])
        .refused(1, &["lifetime.ttl must be from 1m"]);
    stage
        .renv(&["create", "x", "--from", "nobody"])
        .refused(3, &["no environment nobody"]);
    // The operator that would make it Ready is missing here.
    stage
        .renv(&["create", "x", "--wait", "--timeout", "1s"])
        .refused(4, &["refusing/x is not Ready after 1 s", "kubectl renv status x"]);
}
