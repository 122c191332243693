//! Where pods run, what they may use, and the labels and annotations that people give them.

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::admission::{accepts, refuses};
use crate::restricted::{create, pods};
use crate::server;
use crate::stage::Stage;

#[test]
fn scheduling_takes_what_a_pod_takes_and_says_what_is_wrong() {
    let server = server::shared();
    let scheduling = |value: Value| json!({"scheduling": value});
    accepts(
        server,
        &json!({
            "scheduling": {
                "nodeSelector": {"kubernetes.io/arch": "amd64", "empty": ""},
                "tolerations": [
                    {"key": "dedicated", "value": "rates", "effect": "NoSchedule"},
                    {"operator": "Exists"},
                    {"key": "slow", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
                ],
                "affinity": {
                    "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}},
                    ]},
                    "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}},
                    ]},
                },
                "priorityClassName": "system-cluster-critical",
            },
            "imagePullSecrets": [{"name": "one"}, {"name": "two.example"}],
        }),
    );
    for (value, says) in [
        (
            json!({"nodeSelector": {"a": "not a label"}}),
            "spec.scheduling.nodeSelector.a",
        ),
        (
            json!({"tolerations": [{"key": "a", "operator": "Equals"}]}),
            "operator must be Equal (which is the default) or Exists",
        ),
        (
            json!({"tolerations": [{"key": "a", "effect": "NoRun"}]}),
            "effect must be NoSchedule, PreferNoSchedule or NoExecute",
        ),
        (
            json!({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}),
            "operator Exists takes no value, and Equal needs a key",
        ),
        (
            json!({"tolerations": [{"operator": "Equal"}]}),
            "operator Exists takes no value, and Equal needs a key",
        ),
        (
            json!({"tolerations": [{"key": "a", "tolerationSeconds": 3}]}),
            "tolerationSeconds goes with effect NoExecute alone",
        ),
        (
            json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}),
            "topologyKey: Required value",
        ),
        (
            json!({"affinity": {"nodesAffinity": {}}}),
            r#"unknown field "spec.scheduling.affinity.nodesAffinity""#,
        ),
        (
            json!({"priorityClassName": "No Name"}),
            "spec.scheduling.priorityClassName",
        ),
    ] {
        refuses(server, &scheduling(value), says);
    }
    refuses(
        server,
        &json!({"imagePullSecrets": [{"name": "one"}, {"name": "one"}]}),
        "Duplicate value",
    );
    refuses(
        server,
        &json!({"imagePullSecrets": [{}]}),
        "imagePullSecrets[0].name: Required value",
    );
}

#[test]
fn labels_and_annotations_are_checked_and_those_of_the_operator_are_refused() {
    let server = server::shared();
    let places = [
        ("api", "podMetadata"),
        ("api", "serviceMetadata"),
        ("database", "podMetadata"),
        ("database", "serviceMetadata"),
        ("jobs", "podMetadata"),
    ];
    for (part, field) in places {
        let with = |value: Value| json!({part: {field: value}});
        let sixteen: Value = (0..16)
            .map(|n| (format!("k{n}"), json!("v")))
            .collect::<serde_json::Map<_, _>>()
            .into();
        accepts(
            server,
            &with(json!({"labels": sixteen, "annotations": {"example.com/note": "any text, öä\nlines too"}})),
        );
        accepts(
            server,
            &with(json!({"labels": {"sidecar.istio.io/inject": "false"}})),
        );
        for key in [
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/component",
            "app.kubernetes.io/managed-by",
            "pod-template-hash",
            "controller-revision-hash",
            "rates.internal/role",
        ] {
            refuses(
                server,
                &with(json!({"labels": {"a": "b", key: "c"}})),
                "labels must not set what the operator and Kubernetes select by",
            );
        }
        refuses(
            server,
            &with(json!({"annotations": {"rates.internal/revision": "c"}})),
            "annotations must not begin with rates.internal/",
        );
        for value in ["two words", "-a", "a/b", &"a".repeat(64)] {
            refuses(
                server,
                &with(json!({"labels": {"a": value}})),
                &format!("spec.{part}.{field}.labels.a"),
            );
        }
    }
}

#[test]
fn the_resources_of_every_container_can_be_set_and_are_checked() {
    let server = server::shared();
    let all = |resources: Value| {
        [
            json!({"jobs": {"resources": resources}}),
            json!({"database": {"sidecars": {"roles": {"resources": resources}}}}),
        ]
    };
    let good =
        json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}});
    let reversed = json!({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}});
    for spec in all(good) {
        accepts(server, &spec);
    }
    for spec in all(reversed) {
        refuses(
            server,
            &spec,
            "resources.requests.cpu must not exceed resources.limits.cpu",
        );
    }
}

#[tokio::test]
async fn a_key_that_no_label_can_have_is_a_condition_that_names_it() {
    let server = server::shared();
    let stage = Stage::new(server, "odd-key").await;
    stage.specify(&json!({"api": {"podMetadata": {"labels": {"not a key": "a"}}}}));
    stage.settle().await;
    let (_, reason, message) = stage.condition("Progressing");
    assert_eq!(reason, "InvalidSpec");
    assert!(
        message.contains("spec.api.podMetadata has the key \"not a key\""),
        "{message}"
    );
    stage.specify(&json!({"api": {"podMetadata": {"labels": {"a-key": "a"}}}}));
    stage.settle().await;
    assert_ne!(stage.condition("Progressing").1, "InvalidSpec");
}

#[tokio::test]
async fn what_only_the_api_server_can_judge_is_a_condition_with_its_words() {
    let server = server::shared();
    let stage = Stage::new(server, "odd-affinity").await;
    let terms = json!([{"matchExpressions": [{"key": "disk", "operator": "Inn", "values": ["ssd"]}]}]);
    let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
    stage.specify(&json!({"scheduling": {"affinity": {"nodeAffinity": required}}}));
    // It is tried again with each, so nothing settles.
    for _ in 0..2 {
        stage.reconcile().await;
    }
    let (_, reason, message) = stage.condition("Progressing");
    assert_eq!(reason, "Refused");
    assert!(message.contains("\"Inn\""), "{message}");
}

/// A namespace with a `LimitRange` refuses pods that ask for less.
#[tokio::test]
async fn pods_of_an_environment_with_resources_of_its_own_fit_a_limit_range() {
    let server = server::shared();
    let requests = json!({"cpu": "100m", "memory": "128Mi"});
    let spec = json!({
        "database": {
            "seed": {"bundled": {}},
            "resources": {"requests": requests, "limits": {"cpu": "1", "memory": "1Gi"}},
        },
        "api": {"resources": {"requests": requests, "limits": {"cpu": "500m", "memory": "512Mi"}}},
    });
    let stage = Stage::new(server, "fitted").await;
    stage.until_ready(&spec).await;
    let namespace = server.namespace("limited").await;
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"},
        "spec": {"limits": [{"type": "Container", "min": {"cpu": "50m", "memory": "64Mi"}}]},
    });
    let limited = server.apply(&namespace, &range.to_string());
    assert!(limited.ok, "{}", limited.text);
    for (name, spec) in Box::pin(pods(&stage)).await {
        let mut spec = serde_json::to_value(&spec).unwrap();
        let created = create(server, &namespace, name, &spec);
        assert!(created.ok, "{name}: {}", created.text);
        spec["containers"][0]["resources"]["requests"]["cpu"] = json!("49m");
        let refused = create(server, &namespace, "another", &spec);
        assert!(
            refused.text.contains("minimum cpu usage per Container is 50m"),
            "{}",
            refused.text
        );
    }
}

#[tokio::test]
async fn labels_and_annotations_come_and_go_with_the_specification() {
    let server = server::shared();
    let stage = Stage::new(server, "labelled").await;
    let own = json!({"labels": {"team": "pricing"}, "annotations": {"example.com/note": "seen"}});
    let spec = |metadata: &Value| {
        let part = json!({"podMetadata": metadata, "serviceMetadata": metadata});
        let mut database = part.clone();
        database["seed"] = json!({"bundled": {}});
        json!({"api": part, "database": database})
    };
    let objects = [
        ("deployment/harbour-api", "{.spec.template.metadata"),
        ("statefulset/harbour-postgres", "{.spec.template.metadata"),
        ("service/harbour-api", "{.metadata"),
        ("service/harbour-postgres-ro", "{.metadata"),
    ];
    let found = |object: &str, path: &str| {
        let field = |field: &str| stage.field(object, &format!("{path}.{field}}}"));
        [
            field("labels.team"),
            field(r"annotations.example\.com/note"),
            field(r"labels.app\.kubernetes\.io/instance"),
        ]
    };
    stage.until_ready(&spec(&own)).await;
    for (object, path) in objects {
        assert_eq!(found(object, path), ["pricing", "seen", "harbour"], "{object}");
    }
    assert_eq!(stage.reconcile().await, [""; 0], "nothing is written twice");
    stage.specify(&spec(&json!({})));
    stage.settle().await;
    for (object, path) in objects {
        assert_eq!(found(object, path), ["", "", "harbour"], "{object}");
    }
}

#[tokio::test]
async fn a_job_whose_pod_finds_no_node_is_made_anew_once_that_is_corrected() {
    let server = server::shared();
    let stage = Stage::new(server, "unplaced").await;
    let on = |pool: &str| json!({"database": {"seed": {"bundled": {}}}, "scheduling": {"nodeSelector": {"pool": pool}}});
    stage.specify(&on("missing"));
    stage.settle().await;
    let before = stage.job("seed").await;
    stage.specify(&on("present"));
    stage.settle().await;
    let after = stage.job("seed").await;
    assert_ne!(before.name_any(), after.name_any());
    for name in stage.names::<Job>().await {
        let pool = stage.field(&format!("job/{name}"), "{.spec.template.spec.nodeSelector.pool}");
        assert_eq!(pool, "present", "{name}");
    }
    // Once it is done, where its pods would run decides nothing.
    stage.until_the_api_is_due().await;
    stage.settle().await;
    let jobs = stage.names::<Job>().await;
    stage.specify(&on("another"));
    stage.settle().await;
    assert_eq!(stage.names::<Job>().await, jobs);
}
