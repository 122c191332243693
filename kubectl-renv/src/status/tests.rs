//! What is told of environments as the operator leaves them.

use serde::Deserialize as _;
use serde_json::Value;

use super::*;
use crate::environment::Environment;

fn read(fixture: &str) -> (Environment, Parts) {
    let path = format!("{}/tests/fixtures/{fixture}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let (mut environment, mut parts) = (None, Parts::default());
    for document in serde_yaml::Deserializer::from_str(&text) {
        let object = Value::deserialize(document).unwrap();
        match object["kind"].as_str().unwrap() {
            "RatesEnvironment" => {
                environment = Some(Environment::new(serde_json::from_value(object).unwrap()));
            }
            "Pod" => parts.pods.push(serde_json::from_value(object).unwrap()),
            "PersistentVolumeClaim" => parts.claims.push(serde_json::from_value(object).unwrap()),
            "Job" => parts.jobs.push(serde_json::from_value(object).unwrap()),
            "ConfigMap" => parts.config_maps.push(serde_json::from_value(object).unwrap()),
            "Event" => parts.events.push(serde_json::from_value(object).unwrap()),
            other => panic!("{other}"),
        }
    }
    (environment.unwrap(), parts)
}

fn now() -> Timestamp {
    "2031-03-04T05:00:00Z".parse().unwrap()
}

fn summary(fixture: &str) -> Summary {
    let (environment, parts) = read(fixture);
    Summary::of(&environment, &parts, now())
}

fn drawn(fixture: &str) -> String {
    draw(&summary(fixture), now(), Canvas::PLAIN)
}

#[test]
fn three_instances_and_a_rollout_that_hangs() {
    insta::assert_snapshot!(drawn("fleet"));
}

#[test]
fn a_copy_that_is_ready_says_what_was_copied_and_when_it_ends() {
    insta::assert_snapshot!(drawn("preview"));
}

#[test]
fn one_that_is_seeded_says_what_goes_on_and_what_may_not_be_read() {
    let (environment, mut parts) = read("seeding");
    parts.unread.push("events");
    insta::assert_snapshot!(draw(
        &Summary::of(&environment, &parts, now()),
        now(),
        Canvas::PLAIN
    ));
}

#[test]
fn one_that_sleeps_says_since_when() {
    insta::assert_snapshot!(drawn("asleep"));
}

#[test]
fn one_that_nobody_looked_at_has_a_tree_too() {
    let environment = Environment::new(
        serde_json::from_value(
            serde_json::json!({"metadata": {"name": "x", "namespace": "n", "generation": 1}}),
        )
        .unwrap(),
    );
    let summary = Summary::of(&environment, &Parts::default(), now());
    insta::assert_snapshot!(draw(&summary, now(), Canvas::PLAIN));
}

/// These names are a promise to programs.
#[test]
fn programs_get_every_field() {
    insta::assert_snapshot!(Format::Yaml.serialised(&summary("fleet")).unwrap().unwrap());
}

#[test]
fn colours_are_for_terminals() {
    let canvas = Canvas {
        colours: true,
        ..Canvas::PLAIN
    };
    assert!(draw(&summary("fleet"), now(), canvas).contains("\u{1b}[31mDegraded"));
    assert!(!drawn("fleet").contains('\u{1b}'));
}
