//! The way to the activator while an environment sleeps.

use k8s_openapi::api::core::v1::Service;
use rates_operator::build::build;
use rates_operator::crd::SleepStatus;
use rates_operator::observed::Observed;
use rates_operator::surroundings::ActivatorPod;
use serde_json::{Value, json};

use crate::fixture;

/// One that sleeps, with a Service of these families, on a cluster whose pods have an address of each.
fn asleep(families: &[&str]) -> Observed {
    let mut observed = fixture::observed(include_str!("fixtures/running.yaml"));
    observed.environment.status.as_mut().unwrap().sleep = Some(SleepStatus {
        since: "2031-03-04T05:00:00.000001Z".to_owned(),
        port: Some(20_007),
        ..SleepStatus::default()
    });
    let service = json!({"metadata": {"name": "lighthouse-api"}, "spec": {"ipFamilies": families}});
    observed
        .services
        .push(serde_json::from_value::<Service>(service).unwrap());
    let pod = |number: u8| ActivatorPod {
        addresses: vec![format!("198.18.9.{number}"), format!("2001:db8::{number}")],
        name: format!("rates-activator-{number}"),
        node: None,
    };
    observed.surroundings.activator = Some(vec![pod(1), pod(2)]);
    observed
}

/// Name, family and addresses of each slice.
fn slices(observed: &Observed) -> Value {
    let slices = build(&fixture::environment(observed)).endpoint_slices;
    let shown = slices.iter().map(|slice| {
        let addresses: Vec<_> = slice
            .endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.addresses)
            .collect();
        json!([slice.metadata.name, slice.address_type, addresses])
    });
    shown.collect()
}

#[test]
fn a_slice_leads_to_the_activator_for_each_family_of_the_service() {
    let four = json!(["lighthouse-api-activator", "IPv4", ["198.18.9.1", "198.18.9.2"]]);
    let six = json!([
        "lighthouse-api-activator-ipv6",
        "IPv6",
        ["2001:db8::1", "2001:db8::2"]
    ]);
    assert_eq!(slices(&asleep(&["IPv4"])), json!([four]));
    assert_eq!(slices(&asleep(&["IPv6"])), json!([six]));
    assert_eq!(slices(&asleep(&["IPv6", "IPv4"])), json!([four, six]));
}

#[test]
fn until_the_activators_pods_are_known_the_slices_stay_as_they_are() {
    let mut observed = asleep(&["IPv4", "IPv6"]);
    observed.endpoint_slices = build(&fixture::environment(&observed)).endpoint_slices;
    let before = slices(&observed);
    observed.surroundings.activator = None;
    assert_eq!(slices(&observed), before);
}
