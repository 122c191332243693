//! Fewer instances.

use super::super::situation::Step;
use super::stage::{Stage, claim, name};

#[test]
fn a_primary_that_is_to_go_moves_before_a_pod_goes() {
    let mut stage = Stage::of(3);
    stage.leads(2);
    stage.wanted = 1;
    let plan = stage.plan();
    assert_eq!(plan.kept, 3);
    assert!(plan.leftovers.is_empty());
    let Some(Step::Begin {
        act,
        gives_order: true,
        ..
    }) = plan.step
    else {
        panic!("{:?}", plan.step);
    };
    assert_eq!((act.from, act.to), (Some(name(2)), Some(name(0))));

    stage.unready(0);
    let plan = stage.plan();
    assert_eq!((plan.kept, plan.step), (3, None));
    assert!(plan.acting.unwrap().contains("pier-postgres-0 is not ready"));

    // It moved.
    let mut stage = Stage::of(3);
    stage.wanted = 1;
    let plan = stage.plan();
    assert_eq!((plan.kept, plan.step), (1, None));
    stage.replicas = 1;
    assert!(stage.plan().leftovers.is_empty(), "their pods are there");
    stage.remove(1);
    stage.remove(2);
    let gone: Vec<String> = stage
        .plan()
        .leftovers
        .into_iter()
        .map(|left| left.claim)
        .collect();
    assert_eq!(gone, ["data-pier-postgres-1", "data-pier-postgres-2"]);
}

#[test]
fn no_pod_and_no_volume_goes_while_nobody_is_known_to_have_everything() {
    let mut stage = Stage::of(3);
    stage.wanted = 2;
    stage.unready(0);
    assert_eq!(stage.plan().kept, 3);
    let mut stage = Stage::of(1);
    stage.claims.push(claim(1));
    assert_eq!(stage.plan().leftovers.len(), 1);
    stage.unready(0);
    assert!(stage.plan().leftovers.is_empty());
}

#[test]
fn a_volume_that_was_retained_of_an_earlier_environment_is_left() {
    let mut stage = Stage::of(1);
    stage.claims.push(claim(1));
    stage.claims[1]["metadata"]["creationTimestamp"] = "2030-01-01T00:00:00Z".into();
    assert!(stage.plan().leftovers.is_empty());
}

#[test]
fn whoever_was_the_primary_last_starts_again_although_fewer_are_wanted() {
    let mut stage = Stage::of(3);
    stage.leads(2);
    stage.pods.clear();
    stage.replicas = 0;
    stage.wanted = 1;
    stage.leader["leader"] = serde_json::Value::Null;
    assert_eq!(stage.plan().kept, 3);
    stage.claims.truncate(2);
    assert_eq!(
        stage.plan().kept,
        2,
        "its volume is gone, and two copies are left"
    );
}
