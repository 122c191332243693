//! What every pod and Service has in common: nodes, pull secrets, labels and annotations, resources.

use kube::ResourceExt;
use rates_operator::build::build;
use rates_operator::crd::SeedStatus;
use serde_yaml::{Mapping, Value};

use crate::fixture;

const BUNDLED: &str = include_str!("fixtures/bundled.yaml");

/// Every field of pods and Services, over the specification of an environment that is being seeded.
const FIELDS: &str = "
scheduling:
  nodeSelector: {berth: deep}
  tolerations: [{key: tide, operator: Equal, value: low, effect: NoExecute, tolerationSeconds: 30}]
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchExpressions: [{key: crane, operator: In, values: [gantry]}]}]
  priorityClassName: cargo-first
imagePullSecrets: [{name: customs}, {name: toll}]
jobs:
  resources: {requests: {cpu: 60m}, limits: {cpu: 300m, memory: 700Mi}}
  podMetadata: {labels: {mesh: 'off'}}
";
const DATABASE: &str = "
sidecars: {roles: {resources: {limits: {cpu: 40m}}}}
podMetadata: {labels: {hold: aft}, annotations: {example.com/log: plain}}
serviceMetadata: {annotations: {example.com/scrape: 'no'}}
";
const API: &str = "
podMetadata: {labels: {deck: upper}, annotations: {example.com/log: json}}
serviceMetadata: {labels: {quay: west}, annotations: {example.com/zone: harbour}}
";

fn children(fields: &str, database: &str, api: &str) -> Value {
    let mut observed = fixture::observed(BUNDLED);
    let mut spec = serde_yaml::to_value(&observed.environment.spec).unwrap();
    let mut merge = |part: Option<&str>, text: &str| {
        let fields: Mapping = serde_yaml::from_str::<Option<Mapping>>(text)
            .unwrap()
            .unwrap_or_default();
        let target = match part {
            Some(part) => &mut spec[part],
            None => &mut spec,
        };
        target.as_mapping_mut().unwrap().extend(fields);
    };
    merge(None, fields);
    merge(Some("database"), database);
    merge(Some("api"), api);
    observed.environment.spec = serde_yaml::from_value(spec).unwrap();
    let mut children = serde_yaml::to_value(build(&fixture::environment(&observed))).unwrap();
    // The migrate Job comes once the data are there.
    let claim_uid = observed.claims[0].uid();
    let status = observed.environment.status.get_or_insert_default();
    status.database.get_or_insert_default().seed = Some(SeedStatus {
        source: "bundled".to_owned(),
        claim_uid,
        ..SeedStatus::default()
    });
    let seeded = serde_yaml::to_value(build(&fixture::environment(&observed))).unwrap();
    children["migrateJob"] = seeded["migrateJob"].clone();
    children
}

/// The template of each kind of pod.
fn templates(children: &Value) -> [(&'static str, &Value); 4] {
    [
        ("postgres", &children["statefulSet"]["spec"]["template"]),
        ("api", &children["deployments"][0]["spec"]["template"]),
        ("seed", &children["seedJob"]["job"]["spec"]["template"]),
        ("migrate", &children["migrateJob"]["job"]["spec"]["template"]),
    ]
}

/// A container's requests and limits, by its name.
fn resources(template: &Value) -> Mapping {
    ["initContainers", "containers"]
        .iter()
        .filter_map(|list| template["spec"][*list].as_sequence())
        .flatten()
        .map(|container| (container["name"].clone(), container["resources"].clone()))
        .collect()
}

#[test]
fn every_pod_has_what_the_specification_says_of_pods() {
    let children = children(FIELDS, DATABASE, API);
    let shown: Mapping = templates(&children)
        .into_iter()
        .map(|(name, template)| {
            let mut shown = Mapping::new();
            shown.insert("metadata".into(), template["metadata"].clone());
            shown.insert("resources".into(), resources(template).into());
            for field in [
                "nodeSelector",
                "tolerations",
                "affinity",
                "priorityClassName",
                "imagePullSecrets",
                "topologySpreadConstraints",
            ] {
                shown.insert(field.into(), template["spec"][field].clone());
            }
            (name.into(), shown.into())
        })
        .collect();
    insta::assert_yaml_snapshot!(shown);
}

#[test]
fn services_have_the_metadata_of_their_part_beside_our_own() {
    let children = children(FIELDS, DATABASE, API);
    let services = children["services"].as_sequence().unwrap();
    let metadata: Vec<&Value> = services.iter().map(|service| &service["metadata"]).collect();
    insta::assert_yaml_snapshot!(metadata);
}

#[test]
fn labels_that_services_and_controllers_select_by_stay_the_operators() {
    let children = children(
        "",
        "podMetadata: {labels: {app.kubernetes.io/instance: another, rates.internal/cluster: another}}",
        "serviceMetadata: {labels: {app.kubernetes.io/managed-by: another}}",
    );
    let labels = &children["statefulSet"]["spec"]["template"]["metadata"]["labels"];
    assert_ne!(labels["app.kubernetes.io/instance"], "another");
    assert_ne!(labels["rates.internal/cluster"], "another");
    let service = children["services"].as_sequence().unwrap().last().unwrap();
    assert_eq!(
        service["metadata"]["labels"]["app.kubernetes.io/managed-by"],
        "rates-operator"
    );
}

#[test]
fn empty_fields_leave_every_object_as_it_is_without_them() {
    let without = children("", "", "");
    let empty = children(
        "{scheduling: {}, imagePullSecrets: [], jobs: {podMetadata: {}}}",
        "{sidecars: {}, podMetadata: {}, serviceMetadata: {}}",
        "{podMetadata: {labels: {}}, serviceMetadata: {annotations: {}}}",
    );
    for ((name, without), (_, empty)) in templates(&without).into_iter().zip(templates(&empty)) {
        assert_eq!(without, empty, "{name}");
    }
    assert_eq!(without["services"], empty["services"]);
}

#[test]
fn a_job_is_another_one_once_what_is_said_of_its_pods_changes() {
    let name = |fields: &str, job: &str| {
        children(fields, "", "")[job]["job"]["metadata"]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for job in ["seedJob", "migrateJob"] {
        let before = name("", job);
        for fields in [
            "scheduling: {nodeSelector: {berth: deep}}",
            "imagePullSecrets: [{name: customs}]",
            "jobs: {resources: {limits: {memory: 2Gi}}}",
        ] {
            assert_ne!(name(fields, job), before, "{job}: {fields}");
        }
        assert_eq!(name("suspend: false", job), before, "{job}");
    }
}

#[test]
fn containers_beside_those_that_a_person_sized_ask_for_what_limit_ranges_usually_want() {
    let sized = "resources: {requests: {cpu: 100m, memory: 128Mi}}";
    let children = children("", sized, sized);
    for (name, template) in templates(&children) {
        for (container, resources) in resources(template) {
            let main = ["postgres", "api"].contains(&container.as_str().unwrap());
            let expected = if main { ["100m", "128Mi"] } else { ["50m", "64Mi"] };
            let requests = ["cpu", "memory"].map(|what| resources["requests"][what].as_str().unwrap());
            assert_eq!(requests, expected, "{name}, {container:?}");
        }
    }
}
