//! Every pod under the `restricted` Pod Security Standard, as the API server judges it.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use serde_json::{Value, json};

use crate::server::{self, Answer, Server};
use crate::stage::Stage;

pub fn create(server: &Server, namespace: &str, name: &str, spec: &Value) -> Answer {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    server.apply(namespace, &pod.to_string())
}

/// The pods of every kind, by name, as the controllers would make them. A migrate Job comes with another image.
pub async fn pods(stage: &Stage) -> Vec<(&'static str, PodSpec)> {
    let image = r#"{"spec": {"api": {"image": "api:next"}}}"#;
    let patch = [
        "patch",
        "--namespace",
        &stage.namespace,
        "renv/harbour",
        "--type=merge",
        "--patch",
        image,
    ];
    let patched = stage.server.kubectl(&patch, "");
    assert!(patched.ok, "{}", patched.text);
    stage.settle().await;
    let stateful_set = stage.api::<StatefulSet>().get("harbour-postgres").await.unwrap();
    let deployment = stage.api::<Deployment>().get("harbour-api").await.unwrap();
    let spec = |template: PodTemplateSpec| template.spec.unwrap();
    let mut postgres = spec(stateful_set.spec.unwrap().template);
    // As the StatefulSet's controller adds it.
    let data = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-harbour-postgres-0"}});
    postgres
        .volumes
        .get_or_insert_default()
        .push(serde_json::from_value(data).unwrap());
    vec![
        ("postgres", postgres),
        ("api", spec(deployment.spec.unwrap().template)),
        ("seed", spec(stage.job("seed").await.spec.unwrap().template)),
        ("migrate", spec(stage.job("migrate").await.spec.unwrap().template)),
    ]
}

#[tokio::test]
async fn every_pod_passes_the_restricted_standard_on_a_read_only_root() {
    let server = server::shared();
    let stage = Stage::new(server, "restricted-source").await;
    stage
        .until_ready(&json!({"database": {"seed": {"bundled": {}}}}))
        .await;
    let namespace = server.namespace("restricted").await;
    let labelled = server.kubectl(
        &[
            "label",
            "namespace",
            &namespace,
            "pod-security.kubernetes.io/enforce=restricted",
        ],
        "",
    );
    assert!(labelled.ok, "{}", labelled.text);

    for (name, spec) in Box::pin(pods(&stage)).await {
        let mut value = serde_json::to_value(&spec).unwrap();
        let created = create(server, &namespace, name, &value);
        assert!(created.ok, "{name}: {}", created.text);
        value["securityContext"]["runAsNonRoot"] = json!(false);
        let refused = create(server, &namespace, "another", &value);
        assert!(
            !refused.ok && refused.text.contains("violates PodSecurity \"restricted"),
            "{}",
            refused.text
        );

        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
        for container in containers {
            let read_only = container
                .security_context
                .as_ref()
                .and_then(|context| context.read_only_root_filesystem);
            assert_eq!(read_only, Some(true), "{name}, {}", container.name);
        }
        let account = if name == "seed" || name == "migrate" {
            "jobs"
        } else {
            name
        };
        assert_eq!(
            spec.service_account_name,
            Some(format!("harbour-{account}")),
            "not the namespace's default account"
        );
        assert_eq!(
            spec.automount_service_account_token,
            Some(name == "postgres"),
            "{name}: only Patroni talks to the Kubernetes API"
        );
        if name == "postgres" || name == "api" {
            assert!(spec.containers[0].startup_probe.is_some(), "{name}");
        }
    }
}

#[tokio::test]
async fn network_policies_can_be_turned_off_and_on() {
    let server = server::shared();
    let stage = Stage::new(server, "open-network").await;
    let policies = async || {
        stage
            .names::<k8s_openapi::api::networking::v1::NetworkPolicy>()
            .await
    };
    stage.specify(&json!({}));
    stage.settle().await;
    assert_eq!(
        policies().await,
        ["harbour-api", "harbour-jobs", "harbour-postgres"]
    );
    stage.specify(&json!({"networkPolicies": false}));
    stage.settle().await;
    assert_eq!(policies().await, [""; 0]);
    stage.specify(&json!({"networkPolicies": true}));
    stage.settle().await;
    assert_eq!(policies().await.len(), 3);
}
