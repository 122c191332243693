//! Leader keys of the dead, and labels of the past.

use kube::ResourceExt;
use serde_json::{Value, json};

use super::super::leader_key::{DeadLeader, dead_leader, former_primaries};
use super::stage::{Case, Stage, name};

fn ended(at: &str) -> Value {
    json!({"terminated": {"exitCode": 137, "signal": 9, "finishedAt": at}})
}

fn given_up(change: impl FnOnce(&mut Stage)) -> Option<DeadLeader> {
    let mut stage = Stage::of(3);
    change(&mut stage);
    dead_leader(&stage.observed())
}

#[test]
fn the_key_of_a_primary_whose_container_ended_is_given_up() {
    let dead = given_up(|stage| stage.container(0, ended("2031-03-04T05:06:07Z"))).unwrap();
    assert_eq!((dead.holder, dead.resource_version), (name(0), "7".to_owned()));
    assert_eq!(dead.why, "signal 9");
    // The kubelet starts it again, at once or after a pause.
    for state in [
        json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        json!({"running": {}}),
    ] {
        let dead = given_up(|stage| {
            stage.container(0, state);
            stage.pod(0)["status"]["containerStatuses"][0]["lastState"] = ended("2031-03-04T05:06:06Z");
        });
        assert!(dead.is_some());
    }
    let unknown = given_up(|stage| stage.container(0, json!({"terminated": {"exitCode": 137}})));
    assert!(unknown.is_some(), "its end is not known, and it does not run");
}

#[test]
fn a_key_is_left_to_whom_may_still_be_there() {
    let at = "2031-03-04T05:06:07Z";
    let cases: [Case<'_>; 8] = [
        ("all is well", |_| ()),
        (
            "its pod is gone, and its processes may run on a lost node",
            |stage| stage.remove(0),
        ),
        ("a standby died", |stage| {
            stage.container(1, ended("2031-03-04T05:06:07Z"));
        }),
        ("whoever followed it has renewed the key", |stage| {
            stage.container(0, json!({"running": {}}));
            stage.pod(0)["status"]["containerStatuses"][0]["lastState"] = ended("2031-03-04T05:06:05Z");
        }),
        ("it is not ready, and runs", |stage| stage.unready(0)),
        ("no standby has everything", |stage| {
            stage.container(0, ended("2031-03-04T05:06:07Z"));
            stage.sync["sync_standby"] = "".into();
        }),
        ("the standbys died, too", |stage| {
            for ordinal in 0..3 {
                stage.container(ordinal, ended("2031-03-04T05:06:07Z"));
            }
        }),
        ("nobody has it", |stage| {
            stage.container(0, ended("2031-03-04T05:06:07Z"));
            stage.leader["leader"] = Value::Null;
        }),
    ];
    for (what, change) in cases {
        assert_eq!(given_up(change), None, "{what}, {at}");
    }
    let mut alone = Stage::of(1);
    alone.container(0, ended(at));
    assert_eq!(dead_leader(&alone.observed()), None, "one instance");
}

#[test]
fn the_label_of_a_primary_of_the_past_is_taken_from_it() {
    let former = |change: fn(&mut Stage)| {
        let mut stage = Stage::of(3);
        change(&mut stage);
        let observed = stage.observed();
        former_primaries(&observed)
            .into_iter()
            .map(ResourceExt::name_any)
            .collect::<Vec<_>>()
    };
    assert!(former(|_| ()).is_empty());
    assert_eq!(former(|stage| stage.leader["leader"] = name(1).into()), [name(0)]);
    assert!(
        former(|stage| stage.leader["leader"] = Value::Null).is_empty(),
        "nobody is it yet"
    );
}
