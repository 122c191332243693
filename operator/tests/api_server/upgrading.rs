//! From the previous release's definition to this one: what people wrote by it goes on working.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::server::{self, MANIFESTS};
use crate::stage::{NAME, Stage};

const PREVIOUS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/api_server/fixtures/previous-definition.yaml"
);
const CURRENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crds/ratesenvironments.rates.internal.yaml"
);

fn definition(path: &str) -> Value {
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn schema(definition: &Value) -> &Value {
    &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// Environments that use every field of the previous release between them.
fn environments() -> Vec<Value> {
    let environment = |name: &str, spec: Value| {
        json!({
            "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
            "metadata": {"name": name}, "spec": spec,
        })
    };
    vec![
        environment(
            NAME,
            json!({
                "profile": "Preview",
                "database": {
                    "version": "13.5", "instances": 1,
                    "storage": {"size": "512Mi", "storageClassName": "any", "retain": true},
                    "seed": {"bundled": {}},
                },
                "api": {"image": "api:own", "replicas": 2, "rollout": {"propagationSeconds": 7}},
            }),
        ),
        environment(
            "quay",
            json!({
                "profile": "Staging",
                "database": {"image": "postgres:own", "seed": {"configMap": {"name": "dump", "key": "rates.sql"}}},
                "api": {"autoscaling": {
                    "minReplicas": 2, "maxReplicas": 4, "targetCPUUtilizationPercentage": 70,
                }},
            }),
        ),
        environment("wharf", json!({"profile": "Production"})),
        environment("bare", json!({})),
    ]
}

/// The paths of the fields in a schema.
fn fields(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        fields(field, &path, found);
        found.insert(path);
    }
}

/// The fields that an object sets.
fn set(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        set(value, &path, found);
        found.insert(path);
    }
}

#[tokio::test]
async fn what_was_written_before_is_served_reconciled_and_can_be_changed() {
    let server = server::with(&["-f", PREVIOUS]);
    let mut used = BTreeSet::new();
    for environment in environments() {
        set(&environment["spec"], ".spec", &mut used);
    }
    let mut known = BTreeSet::new();
    fields(
        &schema(&definition(PREVIOUS))["properties"]["spec"],
        ".spec",
        &mut known,
    );
    let unused: Vec<_> = known.difference(&used).collect();
    assert!(unused.is_empty(), "no environment here uses {unused:?}");

    let stage = Stage::new(server, "before").await;
    for environment in environments() {
        let applied = server.apply("before", &environment.to_string());
        assert!(applied.ok, "{}", applied.text);
    }
    let specs = || -> Vec<Value> {
        let listed = server
            .kubectl(&["-n", "before", "get", "renv", "-o", "json"], "")
            .text;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let spec = |environment: &Value| environment["spec"].clone();
        listed["items"].as_array().unwrap().iter().map(spec).collect()
    };
    let before = specs();
    assert_eq!(before.len(), environments().len());

    let upgraded = server.kubectl(
        &["apply", "--server-side", "--force-conflicts", "-k", MANIFESTS],
        "",
    );
    assert!(upgraded.ok, "{}", upgraded.text);
    let after = specs();
    for (before, after) in before.iter().zip(&after) {
        assert!(contains(after, before), "before:\n{before}\nafter:\n{after}");
    }
    // An update that changes nothing of the spec is checked by the new rules as well.
    for environment in environments() {
        let name = environment["metadata"]["name"].as_str().unwrap();
        let applied = server.apply("before", &environment.to_string());
        assert!(applied.ok, "{name}: {}", applied.text);
        let annotated = server.kubectl(&["-n", "before", "annotate", "renv", name, "touched=true"], "");
        assert!(annotated.ok, "{name}: {}", annotated.text);
    }
    stage.settle().await;
    assert_ne!(stage.field("renv/harbour", "{.status.phase}"), "");
    assert_eq!(
        stage.field("statefulset/harbour-postgres", "{.metadata.name}"),
        "harbour-postgres"
    );
    let patch = r#"{"spec": {"api": {"replicas": 3}}}"#;
    let changed = server.kubectl(
        &["-n", "before", "patch", "renv", NAME, "--type=merge", "-p", patch],
        "",
    );
    assert!(changed.ok, "{}", changed.text);
    stage.settle().await;
    assert_eq!(
        stage.field("renv/harbour", "{.status.observedGeneration}"),
        stage.field("renv/harbour", "{.metadata.generation}")
    );
}

/// Whether an object has all that another one has; defaults may have come.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part
            .iter()
            .all(|(name, part)| whole.get(name).is_some_and(|whole| contains(whole, part))),
        (whole, part) => whole == part,
    }
}

#[test]
fn no_field_of_the_previous_release_is_gone_or_narrowed() {
    let (previous, current) = (definition(PREVIOUS), definition(CURRENT));
    let mut findings = Vec::new();
    narrowed(schema(&previous), schema(&current), "", &mut findings);
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    for path in ["group", "scope", "names"] {
        assert_eq!(previous["spec"][path], current["spec"][path], "{path}");
    }
    let [before, now] = [&previous, &current].map(|definition| &definition["spec"]["versions"][0]);
    for path in ["name", "served", "storage", "subresources"] {
        assert_eq!(before[path], now[path], "{path}");
    }
}

#[test]
fn what_is_gone_or_narrowed_is_found() {
    let before = json!({"type": "object", "properties": {
        "gone": {"type": "string"},
        "shorter": {"type": "string", "maxLength": 9},
        "bounded": {"type": "integer"},
        "fewer": {"enum": ["a", "b"]},
        "same": {"type": "array", "items": {"type": "integer", "minimum": 1}},
    }});
    let after = json!({"type": "object", "required": ["shorter"], "properties": {
        "shorter": {"type": "string", "maxLength": 8},
        "bounded": {"type": "integer", "maximum": 3},
        "fewer": {"enum": ["a", "c"]},
        "same": {"type": "array", "maxItems": 4, "items": {"type": "integer", "minimum": 0}},
        "new": {"type": "string"},
    }});
    let mut findings = Vec::new();
    narrowed(&before, &after, "", &mut findings);
    assert_eq!(
        findings,
        [
            ": shorter is required now",
            ".bounded: maximum is 3, and was not set",
            ".fewer: \"b\" is no longer accepted",
            ".gone is gone",
            ".same: maxItems is 4, and was not set",
            ".shorter: maxLength is 8, and was 9",
        ]
    );
}

/// Fields without a default in the definition any more: it depends on others beside them, or on the profile.
const FILLED_IN_BY_THE_OPERATOR: [&str; 3] = [
    ".spec.api.autoscaling.targetCPUUtilizationPercentage",
    ".spec.database",
    ".spec.database.instances",
];

/// How the second schema takes less than the first.
fn narrowed(before: &Value, after: &Value, path: &str, findings: &mut Vec<String>) {
    for word in [
        "type",
        "format",
        "pattern",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "default",
    ] {
        let loosened = after[word].is_null() && matches!(word, "pattern" | "format");
        // The defaults of new fields come into an object's own, and one that the operator fills in
        // itself has the same effect: what was stored has the value.
        let completed = word == "default"
            && (contains(&after[word], &before[word]) || FILLED_IN_BY_THE_OPERATOR.contains(&path));
        if before[word] != after[word] && !loosened && !completed {
            findings.push(format!(
                "{path}: {word} is {}, and was {}",
                after[word], before[word]
            ));
        }
    }
    for (word, upper) in [
        ("maximum", true),
        ("maxLength", true),
        ("maxItems", true),
        ("maxProperties", true),
        ("minimum", false),
        ("minLength", false),
        ("minItems", false),
        ("minProperties", false),
    ] {
        let Some(now) = after[word].as_f64() else { continue };
        match before[word].as_f64() {
            Some(then) if (upper && now >= then) || (!upper && now <= then) => {}
            Some(_) => findings.push(format!(
                "{path}: {word} is {}, and was {}",
                after[word], before[word]
            )),
            None => findings.push(format!("{path}: {word} is {}, and was not set", after[word])),
        }
    }
    let list = |schema: &Value, word: &str| schema[word].as_array().cloned().unwrap_or_default();
    let required = list(before, "required");
    for name in list(after, "required")
        .iter()
        .filter(|name| !required.contains(name))
    {
        findings.push(format!("{path}: {} is required now", name.as_str().unwrap()));
    }
    if !after["enum"].is_null() {
        let accepted = list(after, "enum");
        for value in list(before, "enum")
            .iter()
            .filter(|value| !accepted.contains(value))
        {
            findings.push(format!("{path}: {value} is no longer accepted"));
        }
    }
    for (name, field) in before["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match after["properties"].get(name) {
            Some(now) => narrowed(field, now, &path, findings),
            None => findings.push(format!("{path} is gone")),
        }
    }
    for (word, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if before[word].is_object() {
            narrowed(&before[word], &after[word], &format!("{path}{mark}"), findings);
        }
    }
}
