//! Instances that were killed, and wait for the kubelet.

use serde_json::{Value, json};

use super::super::situation::Step;
use super::stage::{Case, Stage, name};

/// The container waits, after an end such as this.
fn waits(stage: &mut Stage, ordinal: u8, end: &Value) {
    stage.container(ordinal, json!({"waiting": {"reason": "CrashLoopBackOff"}}));
    let mut terminated = json!({
        "exitCode": 137, "reason": "Error", "startedAt": "2031-03-04T05:05:00Z", "finishedAt": "2031-03-04T05:06:00Z",
    });
    terminated
        .as_object_mut()
        .unwrap()
        .extend(end.as_object().unwrap().clone());
    stage.pod(ordinal)["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": terminated});
}

/// Whose pod is made anew.
fn made_anew(change: impl FnOnce(&mut Stage)) -> Option<String> {
    let mut stage = Stage::of(3);
    change(&mut stage);
    match stage.plan().step? {
        Step::DeletePod {
            pod, force: false, ..
        } => Some(pod),
        step => panic!("{step:?}"),
    }
}

#[test]
fn an_instance_that_was_killed_gets_a_pod_that_starts_at_once() {
    let cases: [Case<'_>; 3] = [
        ("a standby", |stage| waits(stage, 2, &json!({}))),
        ("the primary of before", |stage| {
            stage.leads(1);
            waits(stage, 2, &json!({}));
        }),
        ("a roll is under way, and would wait for it", |stage| {
            stage.revision(0, "before");
            stage.revision(1, "before");
            waits(stage, 2, &json!({}));
        }),
    ];
    for (what, change) in cases {
        assert_eq!(made_anew(change), Some(name(2)), "{what}");
    }
    // It has the leader key and nobody can take over: its own start is the next primary.
    let alone = made_anew(|stage| {
        stage.sync["sync_standby"] = "".into();
        waits(stage, 0, &json!({"finishedAt": "2031-03-04T05:06:07Z"}));
    });
    assert_eq!(alone, Some(name(0)));
}

#[test]
fn what_another_pod_would_not_help_is_left_to_the_kubelet() {
    let cases: [Case<'_>; 6] = [
        ("it ended by itself", |stage| {
            waits(stage, 2, &json!({"exitCode": 1}));
        }),
        ("it needs more memory", |stage| {
            waits(stage, 2, &json!({"reason": "OOMKilled"}));
        }),
        ("its start is killed", |stage| {
            waits(stage, 2, &json!({"startedAt": "2031-03-04T05:05:57Z"}));
        }),
        ("it is replaced already", |stage| {
            waits(stage, 2, &json!({}));
            stage.pod(2)["metadata"]["deletionTimestamp"] = "2031-03-04T05:06:07Z".into();
        }),
        ("its leader key is given up first", |stage| {
            waits(stage, 0, &json!({"finishedAt": "2031-03-04T05:06:07Z"}));
        }),
        ("the environment does not run", |stage| {
            stage.runs = false;
            waits(stage, 2, &json!({}));
        }),
    ];
    for (what, change) in cases {
        assert_eq!(made_anew(change), None, "{what}");
    }
}
