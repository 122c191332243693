//! What the operator is asked for.

use std::thread;

use serde_json::{Value, json};

use crate::stage::{Stage, until};

const SLEEP: &str = "rates.internal/sleep";
const WAKE: &str = "rates.internal/wake";
const SWITCHOVER: &str = "rates.internal/switchover";

#[test]
fn one_is_put_to_sleep_and_woken() {
    let stage = Stage::new("sleepy");
    stage.leave("preview");
    thread::scope(|scope| {
        let sleeping = scope.spawn(|| stage.renv(&["sleep", "pr-42", "--wait"]));
        until("it is asked for", || {
            !stage.environment("pr-42")["metadata"]["annotations"][SLEEP].is_null()
        });
        stage.report("pr-42", &json!({"phase": "Asleep", "message": "asleep", "sleep": {"since": "2031-03-04T04:00:00.123456Z"}}));
        stage.take_annotation("pr-42", SLEEP);
        assert_eq!(
            sleeping.join().unwrap().ok(),
            "sleepy/pr-42 sleeps; its data are kept\n"
        );
    });
    assert_eq!(
        stage.renv(&["sleep", "pr-42"]).ok(),
        "sleepy/pr-42 sleeps already\n"
    );
    thread::scope(|scope| {
        let waking = scope.spawn(|| stage.renv(&["wake", "pr-42", "--wait"]));
        stage.take_annotation("pr-42", WAKE);
        stage.report_ready("pr-42");
        assert_eq!(waking.join().unwrap().ok(), "sleepy/pr-42 is Ready\n");
    });
    assert_eq!(stage.renv(&["wake", "pr-42"]).ok(), "sleepy/pr-42 is awake\n");
    let suspended = json!({"spec": {"suspend": true}}).to_string();
    stage
        .kubectl(&["patch", "renv", "pr-42", "--type=merge", "-p", &suspended], "")
        .ok();
    stage
        .renv(&["wake", "pr-42"])
        .refused(1, &["is suspended, not asleep", "kubectl patch renv/pr-42"]);
}

#[test]
fn an_end_is_moved_from_where_it_was() {
    let stage = Stage::new("ending");
    stage.leave("preview");
    let ttl = || stage.environment("pr-42")["spec"]["lifetime"]["ttl"].clone();
    let said = stage.renv(&["extend", "pr-42", "24h"]).ok();
    assert!(
        said.contains("spec.lifetime.ttl is 96h (was 72h), ends at"),
        "{said}"
    );
    assert_eq!(ttl(), "96h");
    stage
        .renv(&["extend", "pr-42", "9000h"])
        .refused(1, &["lifetime.ttl must be from 1m to 8760h"]);
    stage
        .renv(&["extend", "pr-42", "--until", "2020-01-01T00:00:00Z"])
        .refused(1, &["has passed"]);
    stage.renv(&["extend", "pr-42"]).refused(2, &["<DURATION>"]);
    stage.leave("seeding");
    stage
        .renv(&["extend", "young", "1h"])
        .refused(1, &["has no spec.lifetime.ttl"]);
}

#[test]
fn a_switchover_is_asked_for_and_its_answer_told() {
    let stage = Stage::new("switching");
    stage.leave("fleet");
    stage
        .renv(&["switchover", "fleet", "1"])
        .refused(1, &["fleet-postgres-1 is the primary already"]);
    for (reason, message, code) in [
        ("SwitchoverRefused", "fleet-postgres-2 does not stream", 4),
        ("SwitchoverDone", "fleet-postgres-2 is the primary", 0),
    ] {
        thread::scope(|scope| {
            let switching = scope.spawn(|| stage.renv(&["switchover", "fleet", "2", "--wait"]));
            until("it is asked for", || {
                stage.environment("fleet")["metadata"]["annotations"][SWITCHOVER] == "fleet-postgres-2"
            });
            let now = stage
                .kubectl(&["get", "renv", "fleet", "-o", "jsonpath={.metadata.uid}"], "")
                .ok();
            event(&stage, reason, message, &now);
            stage.take_annotation("fleet", SWITCHOVER);
            let answer = switching.join().unwrap();
            assert!(
                format!("{}{}", answer.stdout, answer.stderr).contains(message),
                "{}",
                answer.stderr
            );
            assert_eq!(answer.code, code);
        });
        stage
            .kubectl(
                &["delete", "events", "--field-selector=involvedObject.name=fleet"],
                "",
            )
            .ok();
    }
    stage.leave("asleep");
    stage
        .renv(&["switchover", "tired"])
        .refused(1, &["one database instance", "spec.database.instances"]);
}

/// An Event about an environment, as of now.
fn event(stage: &Stage, reason: &str, message: &str, uid: &str) {
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "type": "Normal", "reason": reason, "message": message,
        "metadata": {"generateName": "fleet."},
        "involvedObject": {"apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment", "name": "fleet", "namespace": stage.namespace, "uid": uid},
    });
    stage.kubectl(&["create", "-f", "-"], &event.to_string()).ok();
}

#[test]
fn pods_are_restarted_by_a_mark_in_their_template() {
    let stage = Stage::new("restarting");
    stage.leave("preview");
    let template = json!({
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    let selector = json!({"matchLabels": {"app": "x"}});
    for object in [
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "pr-42-api"},
            "spec": {"selector": selector, "template": template}}),
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "pr-42-postgres"},
            "spec": {"selector": selector, "serviceName": "x", "template": template}}),
    ] {
        stage.kubectl(&["create", "-f", "-"], &object.to_string()).ok();
    }
    let mark = |kind: &str, name: &str| {
        stage.get(kind, name).unwrap()["spec"]["template"]["metadata"]["annotations"]
            ["kubectl.kubernetes.io/restartedAt"]
            .clone()
    };
    stage.renv(&["restart", "pr-42"]).ok();
    assert!(mark("deployment", "pr-42-api").is_string());
    assert_eq!(mark("statefulset", "pr-42-postgres"), Value::Null);
    stage.renv(&["restart", "pr-42", "--part", "database"]).ok();
    assert!(mark("statefulset", "pr-42-postgres").is_string());
    stage
        .renv(&["restart", "pr-42", "--wait", "--timeout", "1s"])
        .refused(4, &["0 of 0 pods are new and ready"]);
    stage.leave("asleep");
    stage
        .renv(&["restart", "tired"])
        .refused(1, &["no pods that could be restarted"]);
}

#[test]
fn secrets_are_rotated_by_annotations() {
    let stage = Stage::new("rotating");
    stage.leave("preview");
    for what in ["password", "ingest-token", "replication-password"] {
        stage.renv(&["rotate", "pr-42", what]).ok();
        let asked = stage.environment("pr-42")["metadata"]["annotations"]
            [format!("rates.internal/rotate-{what}")]
        .clone();
        stage.renv(&["rotate", "pr-42", what]).ok();
        let again = stage.environment("pr-42")["metadata"]["annotations"]
            [format!("rates.internal/rotate-{what}")]
        .clone();
        assert!(asked.is_string() && asked != again, "{what}: {asked} {again}");
    }
    let login = |id: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pr-42-postgres", "annotations": {"rates.internal/login": id}}})
            .to_string()
    };
    stage.kubectl(&["apply", "-f", "-"], &login("a")).ok();
    let asked =
        || stage.environment("pr-42")["metadata"]["annotations"]["rates.internal/rotate-password"].clone();
    let before = asked();
    thread::scope(|scope| {
        let rotating = scope.spawn(|| stage.renv(&["rotate", "pr-42", "password", "--wait"]));
        until("it is asked for", || asked() != before);
        stage.report("pr-42", &json!({"database": {"rotation": "pods are replaced"}}));
        stage.kubectl(&["apply", "-f", "-"], &login("b")).ok();
        stage.report("pr-42", &json!({"database": {"rotation": null}}));
        assert_eq!(
            rotating.join().unwrap().ok(),
            "rotating/pr-42: the password is a new one\n"
        );
    });
    stage
        .renv(&["rotate", "pr-42", "replication-password", "--wait"])
        .refused(1, &["Leave --wait out"]);
    stage
        .renv(&["rotate", "nobody", "password"])
        .refused(3, &["there is: pr-42"]);
}
