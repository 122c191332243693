//! What is said of changes to environments as the operator's own tests have them.

use rates_operator::identity::Identity;
use rates_operator::observed::{Dump, Observed};
use rates_operator::settings::{Images, Monitoring};
use serde::Deserialize as _;
use serde_json::json;

use super::change::{Change, Operator, creation, of};
use super::text::draw;
use super::*;

fn observed(fixture: &str) -> Observed {
    let path = format!(
        "{}/../operator/tests/pipeline/fixtures/{fixture}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let documents: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect();
    let of_kind = |kind: &str| -> Vec<Value> {
        let found = documents.iter().filter(|document| document["kind"] == kind);
        found.cloned().collect()
    };
    let environment: RatesEnvironment =
        serde_json::from_value(of_kind("RatesEnvironment").remove(0)).unwrap();
    let mut observed = Observed::alone(Identity::of(&environment).unwrap(), environment);
    observed.dump = Dump::Found {
        digest: "0".to_owned(),
    };
    let read = |kind: &str| Value::from(of_kind(kind));
    observed.pods = serde_json::from_value(read("Pod")).unwrap();
    observed.claims = serde_json::from_value(read("PersistentVolumeClaim")).unwrap();
    observed.config_maps = serde_json::from_value(read("ConfigMap")).unwrap();
    observed.stateful_sets = serde_json::from_value(read("StatefulSet")).unwrap();
    observed.deployments = serde_json::from_value(read("Deployment")).unwrap();
    observed
}

/// What a merge of this into the specification would do.
fn change(observed: &Observed, patch: &Value) -> Change {
    let mut next = serde_json::to_value(&observed.environment).unwrap();
    merge(&mut next["spec"], patch);
    let operator = Operator {
        images: Images::new(
            "registry.example/api:newest".to_owned(),
            &["13.5=registry.example/pg:thirteen".to_owned()],
        )
        .unwrap(),
        monitoring: Monitoring::new(Some("registry.example/exporter:1".to_owned()), Vec::new()),
    };
    let now = "2031-03-04T05:06:07Z".parse().unwrap();
    of(observed, &serde_json::from_value(next).unwrap(), &operator, now).unwrap()
}

fn merge(base: &mut Value, over: &Value) {
    match over {
        Value::Object(over) => over
            .iter()
            .for_each(|(name, value)| merge(&mut base[name], value)),
        value => *base = value.clone(),
    }
}

#[test]
fn what_changes_nothing_says_so() {
    let change = change(&observed("running"), &json!({}));
    assert_eq!(change.action, "none");
    assert!(
        !change.database.restarts && !change.api.rollout && change.objects.is_empty(),
        "{change:?}"
    );
}

#[test]
fn an_image_is_migrated_first_and_then_rolled_out() {
    let change = change(
        &observed("running"),
        &json!({"api": {"image": "registry.example/api:other"}}),
    );
    assert!(
        change.migration && change.api.rollout && !change.database.restarts,
        "{change:?}"
    );
    insta::assert_snapshot!(draw(&change));
}

#[test]
fn settings_of_the_api_leave_the_database_alone_and_a_secret_value_is_not_shown() {
    let env = json!([{"name": "PARTNER_TOKEN", "value": "hunter2"}]);
    let change = change(
        &observed("running"),
        &json!({"api": {"config": {"log": "debug"}, "env": env}}),
    );
    assert!(
        !change.migration && change.api.rollout && !change.database.restarts,
        "{change:?}"
    );
    let text = draw(&change);
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn resources_of_the_database_restart_it_and_parameters_are_named() {
    let patch =
        json!({"database": {"resources": {"limits": {"memory": "2Gi"}}, "parameters": {"work_mem": "9MB"}}});
    let change = change(&observed("running"), &patch);
    assert!(change.database.restarts && !change.api.rollout, "{change:?}");
    assert_eq!(change.database.parameters, ["work_mem"]);
    insta::assert_snapshot!(draw(&change));
}

#[test]
fn what_lives_longer_or_shares_restarts_nothing() {
    let patch = json!({"lifetime": {"ttl": "72h"}, "sharing": [{"namespaces": ["previews"]}]});
    let change = change(&observed("running"), &patch);
    assert!(
        !change.database.restarts && !change.api.rollout && !change.migration,
        "{change:?}"
    );
    insta::assert_snapshot!(draw(&change));
}

#[test]
fn fewer_instances_and_what_cannot_work_are_said() {
    let fleet = observed("replicated");
    let fewer = change(&fleet, &json!({"database": {"instances": 2}}));
    assert_eq!(fewer.database.instances, Some([3, 2]));
    let invalid = change(&fleet, &json!({"database": {"version": "14"}}));
    insta::assert_snapshot!(format!("{}\n{}", draw(&fewer), draw(&invalid)));
}

#[test]
fn a_new_one_is_made() {
    let next = observed("running").environment;
    let change = creation("coast", "x", &next).unwrap();
    insta::assert_snapshot!(draw(&change));
}
