//! A roll, pod by pod.

use serde_json::json;

use super::super::situation::Step;
use super::stage::{Stage, name};

/// Which pod is deleted next, or what is waited for.
fn next(stage: &Stage) -> (Option<String>, String) {
    let plan = stage.plan();
    let pod = plan.step.map(|step| match step {
        Step::DeletePod { pod, uid, force, .. } => {
            assert!(!force && uid.starts_with("pod-"));
            pod
        }
        step => panic!("{step:?}"),
    });
    (
        pod,
        plan.rolling.map(|rolling| rolling.so_far).unwrap_or_default(),
    )
}

#[test]
fn standbys_go_one_at_a_time_and_the_primary_last() {
    let mut stage = Stage::outdated(3);
    assert_eq!(next(&stage).0, Some(name(2)));

    stage.pod(2)["metadata"]["deletionTimestamp"] = "2031-03-04T05:06:07Z".into();
    let (pod, waits) = next(&stage);
    assert_eq!(pod, None);
    assert_eq!(
        waits,
        "0 of 3 instances are current; waiting: pier-postgres-2 is being replaced"
    );
    stage.remove(2);
    assert!(next(&stage).1.ends_with("pier-postgres-2 is made"));

    let whole = Stage::of(3).pods.pop().unwrap();
    stage.pods.push(whole);
    stage.unready(2);
    stage.member(2, &json!({"state": "starting", "replication_state": null}));
    let (pod, waits) = next(&stage);
    assert_eq!(pod, None);
    assert!(
        waits.ends_with("pier-postgres-2 does not stream from pier-postgres-0 (starting)"),
        "{waits}"
    );
    stage.member(2, &json!({"state": "running", "replication_state": "streaming"}));
    stage.pod(2)["status"]["conditions"][0]["status"] = "True".into();
    stage.sync["sync_standby"] = name(1).into();
    assert!(
        next(&stage)
            .1
            .ends_with("no commit waits for pier-postgres-2 yet")
    );

    stage.sync["sync_standby"] = format!("{},{}", name(1), name(2)).into();
    assert_eq!(next(&stage).0, Some(name(1)));
    stage.revision(1, "now");
    assert_eq!(next(&stage).0, Some(name(0)), "the primary is the last one");
    stage.revision(0, "now");
    assert_eq!(next(&stage), (None, String::new()));
}

#[test]
fn a_roll_goes_on_with_another_primary() {
    let mut stage = Stage::of(3);
    stage.revision(0, "before");
    stage.leads(1);
    assert_eq!(next(&stage).0, Some(name(0)));
}

#[test]
fn a_roll_stops_where_nobody_is_the_primary_or_a_second_one_lacks_something() {
    let mut stage = Stage::outdated(3);
    stage.leader["leader"] = json!(null);
    assert!(next(&stage).1.ends_with("there is no primary at present"));
    let mut stage = Stage::outdated(3);
    stage.member(1, &json!({"replication_state": null}));
    assert_eq!(
        next(&stage).0,
        Some(name(1)),
        "the one that lacks something goes first"
    );
    stage.member(2, &json!({"replication_state": null}));
    assert_eq!(next(&stage).0, None);
}

#[test]
fn the_primary_stays_while_patroni_is_paused() {
    let mut stage = Stage::of(3);
    stage.revision(0, "before");
    stage.settings = json!({"pause": true});
    let (pod, waits) = next(&stage);
    assert_eq!(pod, None);
    assert!(
        waits.ends_with("nobody takes over from it while Patroni is paused"),
        "{waits}"
    );
    stage.settings = json!({});
    assert_eq!(next(&stage).0, Some(name(0)));
}

#[test]
fn what_does_not_run_is_replaced_at_once_and_the_roll_can_be_taken_back() {
    let mut stage = Stage::of(3);
    stage.revision(2, "bad");
    let pull = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    stage.container(2, pull.clone());
    stage.member(2, &json!({"state": "stopped"}));
    assert_eq!(next(&stage).0, Some(name(2)));

    // It is of the template now: the roll stops there, and says so.
    for ordinal in 0..2 {
        stage.revision(ordinal, "before");
    }
    stage.revision(2, "now");
    let (pod, waits) = next(&stage);
    assert_eq!(pod, None);
    assert!(
        waits.contains("pier-postgres-2, container postgres: image  cannot be pulled"),
        "{waits}"
    );
    assert!(stage.plan().rolling.unwrap().stuck.is_some());

    // A first start with an image that does not exist, and the image is corrected.
    let mut stage = Stage::outdated(3);
    stage.leader["leader"] = json!(null);
    for ordinal in 0..3 {
        stage.container(ordinal, pull.clone());
    }
    assert_eq!(next(&stage).0, Some(name(0)));
}

#[test]
fn nothing_is_rolled_that_rolls_by_itself_or_does_not_run() {
    let mut stage = Stage::outdated(1);
    stage.strategy = "RollingUpdate";
    assert_eq!(next(&stage), (None, String::new()));
    let mut stage = Stage::outdated(3);
    stage.runs = false;
    assert_eq!(next(&stage), (None, String::new()));
}
