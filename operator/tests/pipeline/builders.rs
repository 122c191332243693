//! Whole objects, as they are applied.

use rates_operator::build::build;
use rates_operator::crd::Profile;
use rates_operator::observed::Observed;

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

/// The one that is seeded from a `ConfigMap`, with another source.
fn seeded_from(source: &str) -> serde_yaml::Value {
    let yaml = include_str!("fixtures/seeding.yaml");
    let other = yaml.replace("configMap: {name: manifest-of-may, key: may.sql.gz}", source);
    assert_ne!(other, yaml);
    children(&other)["seedJob"]["job"]["spec"]["template"]["spec"].clone()
}

#[test]
fn one_that_is_being_seeded_from_a_url() {
    let digest = "5e".repeat(32);
    insta::assert_yaml_snapshot!(seeded_from(&format!(
        "url: {{url: \"https://quay.example/may.sql.gz?signature=ebb\", sha256: \"{digest}\"}}"
    )));
}

#[test]
fn one_that_is_being_seeded_from_a_volume() {
    insta::assert_yaml_snapshot!(seeded_from(
        "persistentVolumeClaim: {claimName: hold-of-the-tanker, path: 2031/may.sql}"
    ));
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

/// The API of an environment whose specification leaves nothing of it out.
fn everything() -> serde_yaml::Value {
    children(include_str!("fixtures/everything.yaml"))
}

#[test]
fn an_autoscaler_with_metrics_and_a_behaviour_of_its_own() {
    insta::assert_yaml_snapshot!(everything()["autoscalers"][0]);
}

#[test]
fn an_api_with_every_setting() {
    insta::assert_yaml_snapshot!(everything()["deployments"][0]);
}

#[test]
fn one_that_is_exposed_by_a_gateway() {
    let mut observed = fixture::observed(include_str!("fixtures/everything.yaml"));
    let expose = serde_yaml::from_str(
        "{host: slipway.example, gateway: {name: lock, namespace: gates, sectionName: web}}",
    );
    observed.environment.spec.expose = Some(expose.unwrap());
    let children = serde_yaml::to_value(build(&fixture::environment(&observed))).unwrap();
    assert!(children["ingress"].is_null());
    insta::assert_yaml_snapshot!(children["route"]);
}

#[test]
fn one_that_is_exposed_by_an_ingress() {
    let mut observed = fixture::observed(include_str!("fixtures/everything.yaml"));
    let expose = serde_yaml::from_str(
        "{host: slipway.example, ingress: {className: sluice, tlsSecretName: slipway-tls}}",
    );
    observed.environment.spec.expose = Some(expose.unwrap());
    let children = serde_yaml::to_value(build(&fixture::environment(&observed))).unwrap();
    assert!(children["route"].is_null());
    insta::assert_yaml_snapshot!(children["ingress"]);
}

/// The environment that leaves nothing out, with `spec.monitoring`.
fn monitored(monitoring: &str) -> Observed {
    let mut observed = fixture::observed(include_str!("fixtures/everything.yaml"));
    observed.environment.spec.monitoring = Some(serde_yaml::from_str(monitoring).unwrap());
    observed
}

fn built(observed: &Observed) -> serde_yaml::Value {
    serde_yaml::to_value(build(&fixture::environment(observed))).unwrap()
}

#[test]
fn one_that_is_monitored() {
    let children = built(&monitored("{labels: {release: semaphore}}"));
    insta::assert_yaml_snapshot!("pod_monitors", children["podMonitors"]);
    insta::assert_yaml_snapshot!(
        "network_policies_of_one_that_is_monitored",
        children["networkPolicies"]
    );
    let containers = &children["statefulSet"]["spec"]["template"]["spec"]["containers"];
    insta::assert_yaml_snapshot!("exporter", containers[2]);
}

#[test]
fn a_preview_is_monitored_without_an_exporter() {
    let mut observed = monitored("{}");
    observed.environment.spec.profile = Profile::Preview;
    let children = built(&observed);
    let containers = &children["statefulSet"]["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers.as_sequence().unwrap().len(), 2);
    let endpoints = &children["podMonitors"][1]["spec"]["podMetricsEndpoints"];
    assert_eq!(endpoints.as_sequence().unwrap().len(), 1, "{endpoints:?}");
    assert_eq!(endpoints[0]["port"], "patroni");
}

#[test]
fn one_that_is_found_without_pod_monitors_has_the_exporter_and_its_ports_open() {
    let children = built(&monitored("{podMonitor: false}"));
    assert_eq!(children["podMonitors"].as_sequence().unwrap().len(), 0);
    let with = built(&monitored("{}"));
    assert_eq!(children["statefulSet"], with["statefulSet"]);
    assert_eq!(children["networkPolicies"], with["networkPolicies"]);
}

#[test]
fn the_exporter_stays_as_it_is_when_the_operator_brings_another_image_and_follows_it_where_that_is_asked_for()
{
    let mut observed = monitored("{}");
    let mut running = build(&fixture::environment(&observed)).stateful_set;
    let template = running.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
    template.containers[2].image = Some("registry.example/exporter:older".to_owned());
    observed.stateful_sets.push(running);
    let image = |observed: &Observed| {
        let children = build(&fixture::environment(observed));
        let containers = children
            .stateful_set
            .spec
            .unwrap()
            .template
            .spec
            .unwrap()
            .containers;
        containers[2].image.clone().unwrap()
    };
    assert_eq!(image(&observed), "registry.example/exporter:older");
    let follow = [(
        "rates.internal/follow-operator-images".to_owned(),
        "true".to_owned(),
    )];
    observed.environment.metadata.annotations = Some(follow.into());
    assert_eq!(image(&observed), "registry.example/exporter:newest");
}
