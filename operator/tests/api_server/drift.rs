//! What somebody adds to the operator's objects, and who writes against it.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Event, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::controlling::until;
use crate::server;
use crate::stage::Stage;

#[tokio::test]
async fn what_is_added_to_an_atomic_list_or_a_services_ports_is_taken_away() {
    let server = server::shared();
    let stage = Stage::new(server, "added").await;
    stage
        .until_ready(&json!({
            "database": {"seed": {"bundled": {}}},
            "api": {"autoscaling": {"minReplicas": 1, "maxReplicas": 3}},
            "expose": {"host": "harbour.example", "ingress": {"tlsSecretName": "harbour-tls"}},
        }))
        .await;
    let add = |object: &str, path: &str, value: &str| {
        let patch = format!(r#"[{{"op": "add", "path": "{path}", "value": {value}}}]"#);
        let answer = server.kubectl(
            &[
                "-n",
                &stage.namespace,
                "patch",
                object,
                "--type=json",
                "-p",
                &patch,
            ],
            "",
        );
        assert!(answer.ok, "{}", answer.text);
    };
    for (object, path, value) in [
        (
            "networkpolicies/harbour-postgres",
            "/spec/ingress/0/ports/-",
            r#"{"protocol": "TCP", "port": 22}"#,
        ),
        (
            "networkpolicies/harbour-api",
            "/spec/ingress/0/ports/0/endPort",
            "9000",
        ),
        (
            "networkpolicies/harbour-jobs",
            "/spec/podSelector/matchLabels/more",
            r#""narrower""#,
        ),
        (
            "rolebindings/harbour-postgres",
            "/subjects/-",
            r#"{"kind": "ServiceAccount", "name": "other", "namespace": "default"}"#,
        ),
        (
            "roles/harbour-postgres",
            "/rules/-",
            r#"{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}"#,
        ),
        (
            "services/harbour-postgres",
            "/spec/ports/-",
            r#"{"name": "patroni", "protocol": "TCP", "port": 8008}"#,
        ),
        ("services/harbour-api", "/spec/selector/more", r#""narrower""#),
        (
            "ingresses/harbour-api",
            "/spec/rules/-",
            r#"{"host": "other.example"}"#,
        ),
        (
            "horizontalpodautoscalers/harbour-api",
            "/spec/metrics/-",
            r#"{"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 50}}}"#,
        ),
        (
            "deployments/harbour-api",
            "/spec/template/spec/containers/0/args",
            r#"["serve", "--help"]"#,
        ),
    ] {
        let spec = || {
            let all = |path: &str| stage.printed(object, path);
            (all("{.spec}"), all("{.rules}"), all("{.subjects}"))
        };
        let before = spec();
        add(object, path, value);
        assert_ne!(spec(), before, "{object} {path}");
        let write = format!("PATCH {object}");
        assert!(
            stage.reconcile().await.contains(&write),
            "{object} {path} is not corrected"
        );
        assert_eq!(spec(), before, "{object} {path}");
        assert_eq!(stage.reconcile().await, [""; 0], "{object} {path}");
    }
}

#[tokio::test]
async fn the_mark_of_a_restart_stays_in_the_templates_and_is_no_drift() {
    let server = server::shared();
    let stage = Stage::new(server, "marked").await;
    let mut spec = json!({"database": {"seed": {"bundled": {}}}});
    stage.until_ready(&spec).await;
    let objects = ["deployment/harbour-api", "statefulset/harbour-postgres"];
    let restart = ["-n", &stage.namespace, "rollout", "restart"];
    let restarted = server.kubectl(&[&restart[..], &objects].concat(), "");
    assert!(restarted.ok, "{}", restarted.text);
    let template = "{.spec.template.metadata.annotations";
    let marks = || {
        objects.map(|object| {
            stage.field(
                object,
                &format!("{template}.kubectl\\.kubernetes\\.io/restartedAt}}"),
            )
        })
    };
    let made = marks();
    assert!(made.iter().all(|mark| mark.starts_with("20")), "{made:?}");

    let is_of_a_template = |write: &String| write.contains("deployments/") || write.contains("statefulsets/");
    let written = stage.reconcile().await;
    assert!(!written.iter().any(is_of_a_template), "{written:?}");
    stage.deployment_rolls_out().await;
    stage.settle().await;
    assert_eq!(marks(), made);
    assert_eq!(stage.condition("Contested").0, "");

    // What the operator itself changes leaves them, too.
    spec["api"] = json!({"config": {"log": "debug"}});
    spec["database"]["resources"] = json!({"requests": {"cpu": "77m"}});
    stage.specify(&spec);
    let written = stage.reconcile().await;
    assert_eq!(
        written.iter().filter(|write| is_of_a_template(write)).count(),
        2,
        "{written:?}"
    );
    assert_eq!(marks(), made);
}

#[tokio::test]
async fn amounts_that_the_api_server_rounds_are_written_once() {
    let server = server::shared();
    let stage = Stage::new(server, "rounded").await;
    let metric =
        |name: &str, target| json!({"type": "Pods", "pods": {"metric": {"name": name}, "target": target}});
    stage
        .until_ready(&json!({
            "database": {
                "seed": {"bundled": {}},
                "resources": {"requests": {"cpu": "0.3333", "memory": "268435456.5"}, "limits": {"memory": "1e9"}},
            },
            "api": {
                "resources": {"requests": {"cpu": "1.0001e-1"}},
                "env": [{"name": "EMPTY", "value": ""}],
                "autoscaling": {"maxReplicas": 3, "metrics": [
                    metric("tiny", json!({"type": "AverageValue", "averageValue": "0.0000000001"})),
                    metric("small", json!({"type": "AverageValue", "averageValue": "1500n"})),
                    metric("large", json!({"type": "AverageValue", "averageValue": "1024Ki"})),
                ]},
            },
        }))
        .await;
    assert_eq!(
        stage.field(
            "statefulset/harbour-postgres",
            "{.spec.template.spec.containers[0].resources.requests.cpu}"
        ),
        "334m"
    );
    assert_eq!(
        stage.field("hpa/harbour-api", "{.spec.metrics[0].pods.target.averageValue}"),
        "1n"
    );
    assert_eq!(stage.reconcile().await, [""; 0]);
}

#[tokio::test]
async fn another_writer_is_answered_with_growing_pauses_and_named() {
    let server = server::shared();
    let mut stage = Stage::new(server, "contested").await;
    stage
        .until_ready(&json!({"database": {"seed": {"bundled": {}}}}))
        .await;
    let stop = CancellationToken::new();
    let _running = stage.run(&stop);
    let services = stage.api::<Service>();
    let writer = PatchParams::apply("somebody-else").force();
    let theirs = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "harbour-api"},
        "spec": {"ports": [{"port": 80, "protocol": "TCP", "name": "http", "targetPort": 1}]},
    });
    let port = async || {
        let service = services.get("harbour-api").await.unwrap();
        service
            .spec
            .unwrap()
            .ports
            .unwrap()
            .remove(0)
            .target_port
            .unwrap()
    };
    let began = Instant::now();
    for correction in 1..=6 {
        services
            .patch("harbour-api", &writer, &Patch::Apply(&theirs))
            .await
            .unwrap();
        until(&format!("correction {correction}"), async || {
            port().await == IntOrString::String("http".to_owned())
        })
        .await;
    }
    // Three at once, and then after 1, 2 and 4 s.
    assert!(
        began.elapsed() > Duration::from_secs(7),
        "fought without a pause: {:?}",
        began.elapsed()
    );
    until("the status says who", async || {
        stage.condition("Contested").2.starts_with(
            "somebody-else changes spec.ports of Service harbour-api again and again, and the operator",
        )
    })
    .await;
    assert_eq!(stage.condition("Ready").0, "True", "it serves");
    let events = stage.api::<Event>();
    until("an Event says who", async || {
        let all = events.list(&ListParams::default()).await.unwrap();
        all.iter().any(|event| {
            event.reason.as_deref() == Some("Contested")
                && event.type_.as_deref() == Some("Warning")
                && event
                    .message
                    .as_deref()
                    .unwrap_or_default()
                    .contains("somebody-else")
        })
    })
    .await;
    // The rest is cared for as before.
    let patch = Patch::Merge(json!({"spec": {"selector": {"more": "narrower"}}}));
    services
        .patch("harbour-postgres", &PatchParams::default(), &patch)
        .await
        .unwrap();
    until("another Service is corrected", async || {
        let service = services.get("harbour-postgres").await.unwrap();
        !service.spec.unwrap().selector.unwrap().contains_key("more")
    })
    .await;
}
