//! Whole objects, as they are applied.

use rates_operator::build::build;

use crate::fixture;

fn children(yaml: &str) -> serde_yaml::Value {
    let observed = fixture::observed(yaml);
    serde_yaml::to_value(build(&fixture::environment(&observed))).unwrap()
}

#[test]
fn a_new_environment_without_any_setting() {
    insta::assert_yaml_snapshot!(children(include_str!("fixtures/new.yaml")));
}

#[test]
fn one_that_is_being_seeded_from_a_config_map() {
    insta::assert_yaml_snapshot!(children(include_str!("fixtures/seeding.yaml"))["seedJob"]);
}

#[test]
fn one_that_is_being_seeded_with_the_bundled_dump() {
    insta::assert_yaml_snapshot!(children(include_str!("fixtures/bundled.yaml"))["seedJob"]);
}

#[test]
fn one_that_is_being_migrated() {
    insta::assert_yaml_snapshot!(children(include_str!("fixtures/migrating.yaml"))["migrateJob"]);
}

#[test]
fn one_that_runs_with_an_autoscaler_on_a_retained_volume() {
    insta::assert_yaml_snapshot!(children(include_str!("fixtures/running.yaml")));
}
