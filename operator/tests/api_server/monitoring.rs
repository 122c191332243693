//! `spec.monitoring`: PodMonitors, in a cluster that may not know of any, the exporter, and who reaches the ports of
//! metrics.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use rates_operator::pod_monitor::PodMonitor;
use serde_json::{Value, json};

use crate::restricted;
use crate::server::{self, Server};
use crate::stage::Stage;

fn monitored(profile: &str, monitoring: &Value) -> Value {
    json!({"profile": profile, "database": {"instances": 1}, "monitoring": monitoring})
}

/// The Prometheus operator's definition, as far as it is used here, with a default.
fn install_pod_monitors(server: &Server, namespace: &str) {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    let relabelings = json!({"type": "array", "items": {"type": "object", "properties": {
        "action": {"type": "string", "default": "replace", "enum": ["replace", "drop", "labeldrop"]},
        "sourceLabels": texts, "regex": text, "targetLabel": text, "replacement": text,
    }}});
    let endpoint = json!({
        "port": text, "path": text,
        "interval": {"type": "string", "pattern": "^[0-9]+s$"},
        "scrapeTimeout": {"type": "string", "pattern": "^[0-9]+s$"},
        "relabelings": relabelings, "metricRelabelings": relabelings,
    });
    let labels = json!({"type": "object", "additionalProperties": text});
    let spec = json!({
        "selector": {"type": "object", "properties": {"matchLabels": labels}},
        "podMetricsEndpoints": {"type": "array", "items": {"type": "object", "properties": endpoint}},
    });
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "required": ["selector"], "properties": spec},
    }});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "podmonitors.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": {"kind": "PodMonitor", "plural": "podmonitors", "singular": "podmonitor"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            }],
        },
    });
    let answer = server.apply(namespace, &definition.to_string());
    assert!(answer.ok, "{}", answer.text);
    let name = "customresourcedefinition/podmonitors.monitoring.coreos.com";
    let answer = server.kubectl(
        &["wait", "--for=condition=Established", "--timeout=30s", name],
        "",
    );
    assert!(answer.ok, "{}", answer.text);
}

#[tokio::test]
async fn pod_monitors_wait_for_their_kind_and_nothing_else_does() {
    let server = server::shared();
    let stage = Stage::new(server, "monitored").await;
    stage
        .until_ready(&monitored(
            "Staging",
            &json!({"labels": {"release": "semaphore"}}),
        ))
        .await;
    let (holds, reason, message) = stage.condition("Monitored");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "PodMonitorMissing"));
    let expected = "the cluster has no PodMonitor of monitoring.coreos.com/v1: install the Prometheus operator, or set spec.monitoring.podMonitor: false";
    assert_eq!(message, expected);
    assert_eq!(stage.condition("Ready").0, "True");
    assert_eq!(stage.condition("Reconciled").0, "True");
    assert_eq!(
        stage.field("renv/harbour", "{.status.message}"),
        format!("monitoring: {expected}")
    );
    assert_eq!(stage.reconcile().await, [""; 0]);

    install_pod_monitors(server, &stage.namespace);
    stage.knows::<PodMonitor>().await;
    let mut written = stage.reconcile().await;
    written.sort();
    assert_eq!(
        written,
        [
            "PATCH podmonitors/harbour-api",
            "PATCH podmonitors/harbour-postgres",
            "PATCH ratesenvironments/harbour/status"
        ],
        "it recovers by itself"
    );
    assert_eq!(
        stage.reconcile().await,
        [""; 0],
        "what the definition adds is left alone"
    );
    assert_eq!(
        stage.condition("Monitored"),
        (
            "True".into(),
            "Applied".into(),
            "PodMonitors harbour-api and harbour-postgres".into()
        )
    );
    assert_eq!(
        stage.printed(
            "podmonitor/harbour-postgres",
            "{.metadata.labels.release} {.spec.podMetricsEndpoints[*].port}"
        ),
        "semaphore metrics patroni"
    );

    stage.specify(&monitored("Staging", &json!({"labels": {"release": "foghorn"}})));
    stage.settle().await;
    let label = stage.field("podmonitor/harbour-api", "{.metadata.labels.release}");
    assert_eq!(label, "foghorn");
    let changed = stage.server.kubectl(
        &[
            "-n",
            &stage.namespace,
            "patch",
            "podmonitor/harbour-api",
            "--type=merge",
            "-p",
            r#"{"spec": {"podMetricsEndpoints": []}}"#,
        ],
        "",
    );
    assert!(changed.ok, "{}", changed.text);
    assert_eq!(
        stage.reconcile().await,
        ["PATCH podmonitors/harbour-api"],
        "what somebody changes is restored"
    );

    stage.specify(&monitored("Staging", &json!({"podMonitor": false})));
    let mut written = stage.reconcile().await;
    written.sort();
    assert_eq!(
        written,
        [
            "DELETE podmonitors/harbour-api",
            "DELETE podmonitors/harbour-postgres",
            "PATCH ratesenvironments/harbour/status"
        ],
        "the pods stay as they are"
    );
    assert!(!stage.exists::<PodMonitor>("harbour-api").await);
    assert_eq!(stage.condition("Monitored").0, "True");

    stage.specify(&json!({"profile": "Staging", "database": {"instances": 1}}));
    stage.settle().await;
    assert_eq!(stage.condition("Monitored").0, "", "there is nothing to tell of");
}

/// The names of the containers of the database's pods.
fn containers(stage: &Stage) -> String {
    stage.printed(
        "statefulset/harbour-postgres",
        "{.spec.template.spec.containers[*].name}",
    )
}

#[tokio::test]
async fn the_exporter_and_the_open_ports_come_and_go_with_the_specification() {
    let server = server::shared();
    let stage = Stage::new(server, "exported").await;
    let monitoring = json!({"podMonitor": false});
    stage.specify(&monitored("Staging", &monitoring));
    stage.settle().await;
    assert_eq!(containers(&stage), "postgres roles exporter");
    // Of each rule of the policy: whom it lets in from elsewhere, and at which ports.
    let open = |policy: &str| {
        let rules = "{range .spec.ingress[*]}{.from[0].namespaceSelector.matchLabels} {.ports[*].port};{end}";
        stage.printed(&format!("networkpolicy/{policy}"), rules)
    };
    let lookout = r#"{"kubernetes.io/metadata.name":"lookout"}"#;
    assert_eq!(
        open("harbour-postgres"),
        format!(" 5432; 5432 8008;{lookout} 8008 9187;")
    );
    assert_eq!(open("harbour-api"), format!(" 8080;{lookout} 9090;"));

    let template = stage.api::<StatefulSet>().get("harbour-postgres").await.unwrap();
    let mut pod = serde_json::to_value(template.spec.unwrap().template.spec.unwrap()).unwrap();
    pod["volumes"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "data", "emptyDir": {}}));
    let namespace = server.namespace("exported-restricted").await;
    let enforced = "pod-security.kubernetes.io/enforce=restricted";
    assert!(
        server
            .kubectl(&["label", "namespace", &namespace, enforced], "")
            .ok
    );
    let created = restricted::create(server, &namespace, "postgres", &pod);
    assert!(created.ok, "{}", created.text);

    stage.specify(&monitored("Preview", &monitoring));
    stage.settle().await;
    assert_eq!(containers(&stage), "postgres roles");
    assert_eq!(
        open("harbour-postgres"),
        format!(" 5432; 5432 8008;{lookout} 8008;")
    );

    stage.specify(&json!({"database": {"instances": 1}}));
    stage.settle().await;
    assert_eq!(open("harbour-postgres"), " 5432; 5432 8008;");
    assert_eq!(open("harbour-api"), " 8080;");
    assert!(stage.exists::<StatefulSet>("harbour-postgres").await);
    assert!(stage.exists::<NetworkPolicy>("harbour-jobs").await);
}

#[tokio::test]
async fn an_operator_without_an_exporter_says_so_and_serves() {
    let server = server::shared();
    let mut stage = Stage::new(server, "without-exporter").await;
    stage.context.as_mut().unwrap().monitoring.exporter = None;
    stage
        .until_ready(&monitored("Staging", &json!({"podMonitor": false})))
        .await;
    assert_eq!(containers(&stage), "postgres roles");
    let (holds, reason, message) = stage.condition("Monitored");
    assert_eq!(
        (holds.as_str(), reason.as_str()),
        ("False", "ExporterImageMissing")
    );
    assert!(message.ends_with("set its --exporter-image"), "{message}");
    assert_eq!(stage.condition("Ready").0, "True");
}
