//! What people ask for, from the annotation to its end.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::act::{Act, Notice};
use super::super::situation::{DONE_WITHIN, Step};
use super::stage::{Case, Stage, claim, name};
use crate::annotations::{FAILOVER, REPLACE, SWITCHOVER};

fn asking(annotation: &str, asked: &str) -> Stage {
    let mut stage = Stage::of(3);
    stage.annotations = json!({annotation: asked});
    stage
}

/// Why it was refused.
fn refusal(stage: &Stage) -> String {
    match stage.plan().step {
        Some(Step::End {
            annotation: Some(_),
            tells: Some(notice),
        }) => {
            assert!(notice.warning && notice.reason.ends_with("Refused"), "{notice:?}");
            notice.note
        }
        step => panic!("{step:?}"),
    }
}

fn begun(stage: &Stage) -> (Act, bool, Notice) {
    match stage.plan().step {
        Some(Step::Begin {
            act,
            gives_order,
            tells,
        }) => (act, gives_order, tells.unwrap()),
        step => panic!("{step:?}"),
    }
}

/// As the key is once the operator has written it.
fn note(stage: &mut Stage, act: &Act) {
    stage.order = json!({"leader": act.from, "member": act.to, "rates.internal/act": act.note()});
}

#[test]
fn a_switchover_moves_the_primary_and_ends_when_it_has_moved() {
    let mut stage = asking(SWITCHOVER, &name(2));
    let (act, gives_order, notice) = begun(&stage);
    assert!(gives_order && !act.is_forced() && !notice.warning);
    assert_eq!(
        (act.from.as_deref(), act.to.as_deref()),
        (Some("pier-postgres-0"), Some("pier-postgres-2"))
    );
    note(&mut stage, &act);
    let plan = stage.plan();
    assert_eq!(plan.step, None);
    assert_eq!(plan.acting.unwrap(), "moving the primary to pier-postgres-2");

    stage.leads(2);
    let Some(Step::End { annotation, tells }) = stage.plan().step else {
        panic!();
    };
    assert_eq!(annotation, Some((SWITCHOVER, name(2))));
    assert_eq!(tells.unwrap().reason, "SwitchoverDone");

    let (act, ..) = begun(&asking(SWITCHOVER, "any"));
    assert_eq!(act.to, None);
}

#[test]
fn a_switchover_that_patroni_declines_or_never_finishes_is_given_up() {
    let mut stage = asking(SWITCHOVER, &name(2));
    let (act, ..) = begun(&stage);
    stage.order = json!({"rates.internal/act": act.note()});
    assert!(refusal(&stage).contains("Patroni did not make pier-postgres-2 the primary"));
    let old = Act {
        at: now_less(DONE_WITHIN),
        ..act
    };
    note(&mut stage, &old);
    stage.leader["leader"] = Value::Null;
    assert!(refusal(&stage).contains("did not become the primary within 180 s"));
    // Whoever asked takes it back.
    stage.annotations = json!({});
    assert_eq!(
        stage.plan().step,
        Some(Step::End {
            annotation: None,
            tells: None
        })
    );
}

fn now_less(time: SignedDuration) -> Timestamp {
    super::stage::now().checked_sub(time).unwrap()
}

#[test]
fn a_switchover_is_refused_to_what_is_no_standby_or_lacks_anything() {
    let refused = |asked: &str, change: fn(&mut Stage)| {
        let mut stage = asking(SWITCHOVER, asked);
        change(&mut stage);
        refusal(&stage)
    };
    let all = |_: &mut Stage| ();
    assert!(
        refused("pier-postgres-7", all)
            .ends_with("it must be any, or a standby of pier-postgres-0, pier-postgres-1, pier-postgres-2")
    );
    assert!(refused("", all).contains("it must be any"));
    assert!(refused(&name(0), all).contains("it is the primary already"));
    let cases: [Case<'_>; 8] = [
        ("pier-postgres-1 is not ready", |stage| stage.unready(1)),
        ("does not stream from pier-postgres-0 (running)", |stage| {
            stage.member(1, &json!({"replication_state": "in archive recovery"}));
        }),
        (
            "is on timeline 2, and the primary pier-postgres-0 on 3",
            |stage| {
                stage.member(1, &json!({"timeline": 2}));
            },
        ),
        ("no commit waits for pier-postgres-1 yet", |stage| {
            stage.sync["sync_standby"] = name(2).into();
        }),
        ("is 100 MiB behind pier-postgres-0", |stage| {
            stage.leader["optime"] = (5000 + (100 << 20)).to_string().into();
        }),
        ("there is no primary at present", |stage| {
            stage.leader["leader"] = Value::Null;
        }),
        ("a roll is under way (2 of 3 pods are current)", |stage| {
            stage.revision(2, "before");
        }),
        ("the environment does not run", |stage| stage.runs = false),
    ];
    for (why, change) in cases {
        let told = refused(&name(1), change);
        assert!(told.contains(why), "{told}");
    }
    let told = refused("any", |stage| {
        stage.unready(1);
        stage.unready(2);
    });
    assert!(
        told.ends_with("pier-postgres-1 is not ready; pier-postgres-2 is not ready"),
        "{told}"
    );
    let paused = |stage: &mut Stage| stage.settings = json!({"pause": true});
    assert!(refused("any", paused).contains("name a standby"));
    let mut named = asking(SWITCHOVER, &name(1));
    paused(&mut named);
    assert_eq!(begun(&named).0.to, Some(name(1)));
    let mut alone = Stage::of(1);
    alone.annotations = json!({SWITCHOVER: "any"});
    assert!(refusal(&alone).contains("there is no other instance"));
}

#[test]
fn a_failover_is_for_a_database_without_a_primary_and_says_what_it_costs() {
    let mut stage = asking(FAILOVER, &name(1));
    assert!(refusal(&stage).contains("pier-postgres-0 is the primary and works"));
    stage.unready(0);
    stage.member(1, &json!({"xlog_location": 4000, "replication_state": null}));
    stage.unready(1);
    let (act, gives_order, notice) = begun(&stage);
    assert!(gives_order && act.is_forced() && notice.warning);
    assert_eq!(notice.reason, "ForcingFailover");
    assert!(
        notice
            .note
            .contains("pier-postgres-1 is 1000 bytes of log behind"),
        "{}",
        notice.note
    );
    stage.order = json!({"member": act.to, "rates.internal/act": act.note()});
    assert_eq!(stage.plan().step, None);
    stage.leads(1);
    stage.pod(1)["status"]["conditions"][0]["status"] = "True".into();
    let Some(Step::End { tells, .. }) = stage.plan().step else {
        panic!();
    };
    let tells = tells.unwrap();
    assert_eq!((tells.warning, tells.reason), (true, "FailoverForced"));
    assert!(
        tells
            .note
            .starts_with("pier-postgres-1 is the primary, and what it lacked is lost")
            && tells.note.contains("pier-postgres-1 is 1000 bytes of log behind"),
        "{}",
        tells.note
    );
}

#[test]
fn a_failover_to_what_does_not_run_is_refused() {
    let mut stage = asking(FAILOVER, &name(1));
    stage.unready(0);
    stage.member(1, &json!({"state": "stopped"}));
    assert!(refusal(&stage).contains("its server does not run"));
    let mut stage = asking(FAILOVER, &name(0));
    stage.unready(0);
    assert!(refusal(&stage).contains("there is nothing to promote"));
    assert!(refusal(&asking(FAILOVER, "any")).contains("it must be one of pier-postgres-0"));
}

#[test]
fn a_volume_is_replaced_step_by_step() {
    let mut stage = asking(REPLACE, &name(2));
    // Its node is lost.
    stage.unready(2);
    let (act, gives_order, notice) = begun(&stage);
    assert!(!gives_order && notice.warning);
    assert!(
        notice.note.starts_with("deleting data-pier-postgres-2"),
        "{}",
        notice.note
    );
    stage.order = json!({"rates.internal/act": act.note()});
    let claim_goes = Step::DeleteClaim {
        claim: "data-pier-postgres-2".to_owned(),
        uid: "claim-2".to_owned(),
    };
    assert_eq!(stage.plan().step, Some(claim_goes));
    stage.claims[2]["metadata"]["deletionTimestamp"] = "2031-03-04T05:06:07Z".into();
    let Some(Step::DeletePod { pod, force: true, .. }) = stage.plan().step else {
        panic!();
    };
    assert_eq!(pod, name(2));
    stage.remove(2);
    stage.claims.truncate(2);
    assert_eq!(stage.plan().acting.unwrap(), "pier-postgres-2 gets a new volume");
    stage.claims.push(claim(2));
    stage.claims[2]["metadata"]["uid"] = "new".into();
    stage.pods.push(Stage::of(3).pods.pop().unwrap());
    stage.pod(2)["metadata"]["uid"] = "pod-new".into();
    stage.member(
        2,
        &json!({"state": "creating replica", "replication_state": null}),
    );
    let acting = stage.plan().acting.unwrap();
    assert!(
        acting.ends_with("does not stream from pier-postgres-0 (creating replica)"),
        "{acting}"
    );
    stage.member(2, &json!({"state": "running", "replication_state": "streaming"}));
    let Some(Step::End { tells, .. }) = stage.plan().step else {
        panic!();
    };
    let tells = tells.unwrap();
    assert_eq!(tells.reason, "InstanceReplaced");
    assert!(
        tells.note.ends_with("the copy in the one before is gone"),
        "{}",
        tells.note
    );
}

#[test]
fn a_pod_that_is_ready_stops_in_order_before_its_volume_goes() {
    let mut stage = asking(REPLACE, &name(2));
    let (act, ..) = begun(&stage);
    stage.order = json!({"rates.internal/act": act.note()});
    stage.claims[2]["metadata"]["deletionTimestamp"] = "2031-03-04T05:06:07Z".into();
    assert!(matches!(
        stage.plan().step,
        Some(Step::DeletePod { force: false, .. })
    ));
    stage.pod(2)["metadata"]["deletionTimestamp"] = "2031-03-04T05:08:07Z".into();
    assert_eq!(stage.plan().step, None);
    // Nobody else has everything any more.
    stage.leader["leader"] = Value::Null;
    assert!(
        stage
            .plan()
            .acting
            .unwrap()
            .contains("is not replaced while no other instance is the primary")
    );
}

#[test]
fn a_replacement_is_refused_where_nobody_else_is_known_to_have_everything() {
    let refused = |asked: &str, change: fn(&mut Stage)| {
        let mut stage = asking(REPLACE, asked);
        change(&mut stage);
        refusal(&stage)
    };
    assert!(refused(&name(0), |_| ()).contains("it is the primary"));
    assert!(refused(&name(3), |_| ()).contains("pier-postgres-0 to pier-postgres-2"));
    assert!(refused(&name(1), |stage| stage.unready(0)).contains("no primary at present"));
    let none = refused(&name(1), |stage| {
        stage.claims.remove(1);
    });
    assert!(none.contains("it has no volume"), "{none}");
}
