//! Several instances of a database: how many, where, with which settings, and whether another one can take over.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use rates_operator::apply::Applied;
use rates_operator::build::{Children, build};
use rates_operator::crd::{Durability, Profile, RatesEnvironmentStatus};
use rates_operator::observed::Observed;
use rates_operator::plan::{Seeding, VolumeIdentity};
use rates_operator::status;
use serde_json::{Value, json};

use crate::fixture;

const REPLICATED: &str = include_str!("fixtures/replicated.yaml");
const NEW: &str = include_str!("fixtures/new.yaml");
const RUNNING: &str = include_str!("fixtures/running.yaml");

fn replicated() -> Observed {
    fixture::observed(REPLICATED)
}

fn children(observed: &Observed) -> Children {
    build(&fixture::environment(observed))
}

/// The settings that Patroni is to have.
fn settings(observed: &Observed) -> Value {
    serde_json::from_str(&fixture::environment(observed).database.settings.config).unwrap()
}

fn status_of(observed: &Observed) -> RatesEnvironmentStatus {
    let environment = fixture::environment(observed);
    let applied = Applied {
        claims: observed.claims.clone(),
        stateful_set: observed.stateful_set().cloned(),
        ..Applied::default()
    };
    status::status(&environment, observed, &applied, None, fixture::now())
}

/// Status, reason and message of the condition.
fn available(observed: &Observed) -> (String, String, String) {
    let status = status_of(observed);
    let mut conditions = status.conditions.into_iter();
    let condition = conditions
        .find(|condition| condition.type_ == "HighlyAvailable")
        .unwrap();
    (condition.status, condition.reason, condition.message)
}

fn pod<'a>(observed: &'a mut Observed, name: &str) -> &'a mut Pod {
    let mut pods = observed.pods.iter_mut();
    pods.find(|pod| pod.name_any() == name).unwrap()
}

fn without_pod(observed: &mut Observed, name: &str) {
    observed.pods.retain(|pod| pod.name_any() != name);
}

fn annotate(observed: &mut Observed, config_map: &str, annotations: &Value) {
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

#[test]
fn another_instance_can_take_over_also_without_one_of_two_standbys() {
    let mut observed = replicated();
    let (status, reason, message) = available(&observed);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Replicated"));
    assert_eq!(
        message,
        "fleet-postgres-0 or fleet-postgres-2 can take over from fleet-postgres-1"
    );
    let database = status_of(&observed).database.unwrap();
    assert_eq!(database.primary.as_deref(), Some("fleet-postgres-1"));
    assert_eq!(
        (database.synchronous_standbys, database.timeline),
        (Some(2), Some(2))
    );

    without_pod(&mut observed, "fleet-postgres-2");
    let (status, ..) = available(&observed);
    assert_eq!(
        status, "False",
        "one of two on record does not know whether it has everything"
    );
    let sync = json!({"leader": "fleet-postgres-1", "sync_standby": "fleet-postgres-0", "quorum": "0"});
    annotate(&mut observed, "fleet-postgres-sync", &sync);
    let (status, _, message) = available(&observed);
    assert_eq!(status, "True");
    assert!(
        message.ends_with("; fleet-postgres-2 is not there yet"),
        "{message}"
    );
}

#[test]
fn what_an_instance_waits_for_is_told_while_the_environment_stays_ready() {
    let mut observed = replicated();
    let sync = json!({"leader": "fleet-postgres-1", "sync_standby": "fleet-postgres-0", "quorum": "0"});
    annotate(&mut observed, "fleet-postgres-sync", &sync);
    let unplaced = json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.",
        "lastTransitionTime": "2031-03-04T04:00:00Z",
    }]});
    pod(&mut observed, "fleet-postgres-2").status = Some(serde_json::from_value(unplaced).unwrap());
    let (status, _, message) = available(&observed);
    assert_eq!(status, "True");
    assert!(
        message.contains("fleet-postgres-2 waits for a node: 0/2 nodes are available"),
        "{message}"
    );
    let status = status_of(&observed);
    let progressing = status
        .conditions
        .iter()
        .find(|c| c.type_ == "Progressing")
        .unwrap();
    assert_ne!(progressing.reason, "WaitingForNode");
    let ready = status
        .conditions
        .iter()
        .find(|c| c.type_ == "DatabaseReady")
        .unwrap();
    assert_eq!(ready.status, "True");
}

#[test]
fn a_loss_is_told_apart_from_standbys_that_are_still_to_come() {
    let mut observed = replicated();
    without_pod(&mut observed, "fleet-postgres-0");
    without_pod(&mut observed, "fleet-postgres-2");
    assert_eq!(available(&observed).1, "WaitingForStandby");
    let before = status_of(&replicated());
    observed.environment.status = Some(before);
    assert_eq!(
        available(&observed).1,
        "Reconnecting",
        "as after each change of the primary"
    );
    let status = status_of(&observed);
    assert_eq!(
        status::reconsidered_after(&status, fixture::now()),
        Some(Duration::from_secs(15))
    );
    observed.environment.status = Some(status);
    for condition in &mut observed.environment.status.as_mut().unwrap().conditions {
        condition.last_transition_time = serde_json::from_value(json!("2031-03-04T05:05:52Z")).unwrap();
    }
    assert_eq!(available(&observed).1, "StandbyLost");
    without_pod(&mut observed, "fleet-postgres-1");
    assert_eq!(available(&observed).1, "NoPrimary");
}

#[test]
fn a_single_instance_says_that_it_is_one() {
    let (status, reason, _) = available(&fixture::observed(RUNNING));
    assert_eq!((status.as_str(), reason.as_str()), ("False", "SingleInstance"));
}

#[test]
fn of_two_that_say_they_are_the_primary_the_one_with_the_leader_key_is() {
    let mut observed = replicated();
    let labels = pod(&mut observed, "fleet-postgres-0").labels_mut();
    labels.insert("rates.internal/role".to_owned(), "primary".to_owned());
    let database = status_of(&observed).database.unwrap();
    assert_eq!(database.primary.as_deref(), Some("fleet-postgres-1"));
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
