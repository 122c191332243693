//! Several instances of a database: how many, where, and with which settings.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use rates_operator::build::{Children, build};
use rates_operator::crd::{Durability, Profile};
use rates_operator::observed::Observed;
use rates_operator::plan::{Seeding, VolumeIdentity};
use serde_json::{Value, json};

use crate::fixture;

const REPLICATED: &str = include_str!("fixtures/replicated.yaml");
const NEW: &str = include_str!("fixtures/new.yaml");
pub const RUNNING: &str = include_str!("fixtures/running.yaml");

pub fn replicated() -> Observed {
    fixture::observed(REPLICATED)
}

fn children(observed: &Observed) -> Children {
    build(&fixture::environment(observed))
}

/// The settings that Patroni is to have.
pub fn settings(observed: &Observed) -> Value {
    serde_json::from_str(&fixture::environment(observed).database.settings.config).unwrap()
}

pub fn pod<'a>(observed: &'a mut Observed, name: &str) -> &'a mut Pod {
    let mut pods = observed.pods.iter_mut();
    pods.find(|pod| pod.name_any() == name).unwrap()
}

pub fn without_pod(observed: &mut Observed, name: &str) {
    observed.pods.retain(|pod| pod.name_any() != name);
}

pub fn annotate(observed: &mut Observed, config_map: &str, annotations: &Value) {
    let mut found = observed.config_maps.iter_mut();
    let found = found.find(|found| found.name_any() == config_map).unwrap();
    found.metadata.annotations = serde_json::from_value(annotations.clone()).unwrap();
}

#[test]
fn one_with_three_instances_on_retained_volumes() {
    insta::assert_yaml_snapshot!(serde_yaml::to_value(children(&replicated())).unwrap());
}

#[test]
fn a_profile_decides_for_new_environments_alone() {
    let instances = |yaml: &str, profile, pinned: Option<i32>, spec: Option<i32>| {
        let mut observed = fixture::observed(yaml);
        observed.environment.spec.profile = profile;
        observed.environment.spec.database.instances = spec;
        let status = observed.environment.status.get_or_insert_default();
        if let Some(pinned) = pinned {
            status.database.get_or_insert_default().instances = pinned;
        }
        fixture::environment(&observed).database.instances.wanted
    };
    assert_eq!(instances(NEW, Profile::Production, None, None), 3);
    assert_eq!(instances(NEW, Profile::Staging, None, None), 1);
    assert_eq!(instances(NEW, Profile::Preview, None, None), 1);
    assert_eq!(
        instances(RUNNING, Profile::Production, Some(1), None),
        1,
        "pinned"
    );
    assert_eq!(instances(RUNNING, Profile::Preview, Some(2), None), 2, "pinned");
    assert_eq!(
        instances(RUNNING, Profile::Production, Some(1), Some(3)),
        3,
        "asked for"
    );
}

#[test]
fn durability_is_required_where_one_loss_leaves_two() {
    let durability = |instances, spec| {
        let mut observed = fixture::observed(NEW);
        observed.environment.spec.database.instances = Some(instances);
        observed.environment.spec.database.durability = spec;
        fixture::environment(&observed).database.instances.durability
    };
    assert_eq!(durability(3, None), Durability::Required);
    assert_eq!(durability(2, None), Durability::Preferred);
    assert_eq!(durability(2, Some(Durability::Required)), Durability::Required);
    assert_eq!(durability(3, Some(Durability::Preferred)), Durability::Preferred);
}

#[test]
fn writes_must_wait_for_a_standby_once_there_is_one() {
    let mut observed = replicated();
    assert_eq!(settings(&observed)["synchronous_mode_strict"], true);
    annotate(
        &mut observed,
        "fleet-postgres-sync",
        &json!({"leader": "fleet-postgres-1"}),
    );
    assert_eq!(
        settings(&observed)["synchronous_mode_strict"],
        false,
        "a new cluster is seeded before it has a standby"
    );
    let mut preferred = replicated();
    preferred.environment.spec.database.durability = Some(Durability::Preferred);
    assert_eq!(settings(&preferred)["synchronous_mode_strict"], false);
    let settings = settings(&replicated());
    assert_eq!(
        settings["postgresql"]["parameters"]["max_slot_wal_keep_size"],
        "2048MB"
    );
    assert_eq!(settings["pause"], false, "what people put in stays");
}

#[test]
fn writes_go_on_waiting_without_a_standby_also_where_somebody_turned_that_off() {
    let mut observed = replicated();
    let [config, ..] = &children(&observed).patroni_state[..] else {
        panic!("no state")
    };
    let mut annotations = json!(config.annotations());
    let mut weaker = settings(&observed);
    assert_eq!(weaker["synchronous_mode_strict"], true);
    weaker["synchronous_mode_strict"] = json!(false);
    let alone = json!({"leader": "fleet-postgres-1"});
    annotate(&mut observed, "fleet-postgres-sync", &alone);
    for edited in [weaker.to_string(), String::new()] {
        annotations["config"] = json!(edited);
        annotate(&mut observed, "fleet-postgres-config", &annotations);
        assert_eq!(settings(&observed)["synchronous_mode_strict"], true);
        let database = fixture::environment(&observed).database;
        assert!(!database.settings.restored.is_empty());
    }
    observed.environment.spec.database.durability = Some(Durability::Preferred);
    assert_eq!(settings(&observed)["synchronous_mode_strict"], false);
}

#[test]
fn going_down_to_one_instance_commits_wait_until_the_last_standby_goes() {
    let mut observed = replicated();
    observed.environment.spec.database.instances = Some(1);
    let planned = fixture::environment(&observed).database.instances;
    assert_eq!(
        (planned.wanted, planned.present, planned.replicated),
        (1, 3, true)
    );
    assert_eq!(settings(&observed)["synchronous_mode"], "quorum");
    let names: Vec<String> = role_names(&observed);
    assert_eq!(
        names.len(),
        3,
        "an instance that is to go may label itself until then"
    );

    observed.stateful_sets[0].spec.as_mut().unwrap().replicas = Some(1);
    for name in ["fleet-postgres-1", "fleet-postgres-2"] {
        let now = serde_json::from_value(json!(fixture::NOW)).unwrap();
        pod(&mut observed, name).metadata.deletion_timestamp = Some(now);
    }
    let labels = pod(&mut observed, "fleet-postgres-0").labels_mut();
    labels.insert("rates.internal/role".to_owned(), "primary".to_owned());
    let settings = settings(&observed);
    assert_eq!(
        (&settings["ttl"], &settings["loop_wait"]),
        (&json!(30), &json!(10))
    );
    assert!(settings.get("synchronous_mode").is_none() && settings.get("primary_start_timeout").is_none());
}

fn role_names(observed: &Observed) -> Vec<String> {
    let rules = children(observed).role.rules.unwrap();
    let rule = rules
        .into_iter()
        .find(|rule| rule.verbs == ["patch"] && rule.resources == Some(vec!["pods".to_owned()]));
    rule.unwrap().resource_names.unwrap()
}

#[test]
fn a_single_instance_keeps_its_pods_template_when_it_was_one_of_three() {
    let mut observed = replicated();
    observed.stateful_sets = vec![children(&observed).stateful_set];
    let before = observed.stateful_sets[0].spec.clone().unwrap().template;
    observed.environment.spec.database.instances = Some(1);
    let kept = children(&observed).stateful_set.spec.unwrap();
    assert_eq!(kept.replicas, Some(2), "until the primary is one that stays");
    assert_eq!(kept.update_strategy.unwrap().type_.as_deref(), Some("OnDelete"));
    leads(&mut observed, "fleet-postgres-0", "fleet-postgres-1");
    let after = children(&observed).stateful_set.spec.unwrap();
    assert_eq!(after.template, before);
    assert_eq!(after.replicas, Some(1));
    assert_eq!(
        after.update_strategy.unwrap().type_.as_deref(),
        Some("RollingUpdate")
    );
}

/// The primary has moved.
fn leads(observed: &mut Observed, primary: &str, before: &str) {
    for config_map in ["fleet-postgres-leader", "fleet-postgres-sync"] {
        annotate(observed, config_map, &json!({"leader": primary}));
    }
    let (labels, annotations) = {
        let pod = pod(observed, before);
        (pod.labels().clone(), pod.annotations().clone())
    };
    let moved = pod(observed, primary);
    moved.metadata.labels = Some(labels);
    moved.metadata.annotations = Some(annotations);
}

#[test]
fn instances_prefer_different_nodes_where_that_is_not_required() {
    let mut observed = fixture::observed(NEW);
    observed.environment.spec.database.instances = Some(2);
    let spec = children(&observed).stateful_set.spec.unwrap();
    let affinity = spec.template.spec.unwrap().affinity.unwrap();
    insta::assert_yaml_snapshot!(affinity);
}

/// The first claim is another one, and empty.
fn with_another_first_claim(marked: bool) -> Observed {
    let mut observed = replicated();
    without_pod(&mut observed, "fleet-postgres-0");
    for claim in &mut observed.claims {
        if claim.name_any() == "data-fleet-postgres-0" {
            claim.metadata.uid = Some("another".to_owned());
            claim.metadata.annotations = None;
        } else if !marked {
            claim.metadata.annotations = None;
        }
    }
    observed
}

#[test]
fn a_lost_first_claim_is_no_new_database_while_another_holds_the_data() {
    let observed = with_another_first_claim(true);
    let environment = fixture::environment(&observed);
    assert_eq!(environment.database.volume, VolumeIdentity::Same);
    assert!(matches!(environment.seeding, Seeding::Done(_)));
    let claims = build(&environment).claims;
    assert!(
        !claims[0].annotations().contains_key("rates.internal/holds"),
        "not yet"
    );
    assert_eq!(claims[1].annotations()["rates.internal/holds"], "740174017401");

    let mut alone = with_another_first_claim(false);
    without_pod(&mut alone, "fleet-postgres-1");
    without_pod(&mut alone, "fleet-postgres-2");
    let volume = fixture::environment(&alone).database.volume;
    assert_eq!(volume, VolumeIdentity::Replaced { stopped: false });
}

#[test]
fn a_claim_is_marked_once_its_instance_has_a_copy() {
    let observed = with_another_first_claim(false);
    let claims = children(&observed).claims;
    let marked: Vec<bool> = claims
        .iter()
        .map(|claim| claim.annotations().contains_key("rates.internal/holds"))
        .collect();
    assert_eq!(marked, [false, true, true]);
}

#[test]
fn the_record_of_which_data_it_is_is_put_back_where_somebody_changes_it() {
    let mut observed = replicated();
    for changed in [json!({"initialize": "1"}), json!({})] {
        annotate(&mut observed, "fleet-postgres-config", &changed);
        let children = children(&observed);
        let [config, ..] = children.patroni_state.as_slice() else {
            panic!("no state")
        };
        assert_eq!(config.annotations()["initialize"], "740174017401");
        assert_eq!(
            children.claims[0].annotations()["rates.internal/holds"],
            "740174017401"
        );
    }
    let mut lost = with_another_first_claim(true);
    lost.pods.clear();
    annotate(&mut lost, "fleet-postgres-config", &json!({"initialize": "1"}));
    let environment = fixture::environment(&lost);
    assert_eq!(environment.database.volume, VolumeIdentity::Same);
}

/// What is left of an environment whose volumes are retained.
fn retained() -> Observed {
    let mut observed = replicated();
    observed.environment.status = None;
    observed.pods.clear();
    observed.stateful_sets.clear();
    observed
}

#[test]
fn an_environment_on_retained_volumes_knows_which_of_them_hold_all_data() {
    let mut observed = retained();
    observed.environment.spec.database.instances = Some(1);
    let environment = fixture::environment(&observed);
    assert_eq!(environment.database.volume, VolumeIdentity::Same);
    let instances = environment.database.instances;
    assert_eq!((instances.wanted, instances.present), (1, 3));
    let settings: Value = serde_json::from_str(&environment.database.settings.config).unwrap();
    assert_eq!(
        settings["synchronous_mode"], "quorum",
        "the record of the standbys decides"
    );
    let state = build(&environment).patroni_state;
    assert!(state.iter().all(|kept| kept.owner_references().is_empty()));
}

#[test]
fn fewer_instances_are_asked_for_while_nothing_runs_and_the_record_of_the_standbys_stays() {
    let mut observed = replicated();
    observed.pods.clear();
    observed.stateful_sets[0].spec.as_mut().unwrap().replicas = Some(0);
    observed.environment.spec.suspend = true;
    observed.environment.spec.database.instances = Some(1);
    let instances = fixture::environment(&observed).database.instances;
    assert_eq!((instances.present, instances.replicated), (3, true));
    assert_eq!(settings(&observed)["synchronous_mode"], "quorum");
}

#[test]
fn state_whose_volumes_a_person_removed_is_forgotten() {
    let mut observed = retained();
    observed.claims.clear();
    let environment = fixture::environment(&observed);
    assert_eq!(
        environment.database.volume,
        VolumeIdentity::Replaced { stopped: true }
    );
}
