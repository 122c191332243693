//! What is left when an environment goes, and what the next one of its name finds.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::runtime::wait::{await_condition, conditions};
use rates_operator::crd::RatesEnvironment;
use serde_json::{Value, json};

use crate::server;
use crate::stage::{NAME, Stage};

fn bundled() -> Value {
    json!({"database": {"seed": {"bundled": {}}}})
}

/// Everything of the operator's in the namespace.
async fn everything(stage: &Stage) -> Vec<String> {
    let mut names = Vec::new();
    names.extend(stage.names::<Secret>().await);
    names.extend(stage.names::<ConfigMap>().await);
    names.extend(stage.names::<ServiceAccount>().await);
    names.extend(stage.names::<Role>().await);
    names.extend(stage.names::<RoleBinding>().await);
    names.extend(stage.names::<PersistentVolumeClaim>().await);
    names.extend(stage.names::<Service>().await);
    names.extend(stage.names::<StatefulSet>().await);
    names.extend(stage.names::<Deployment>().await);
    names.extend(stage.names::<HorizontalPodAutoscaler>().await);
    names.extend(stage.names::<PodDisruptionBudget>().await);
    names.extend(stage.names::<NetworkPolicy>().await);
    names.extend(stage.names::<Ingress>().await);
    names.extend(stage.names::<Job>().await);
    names
}

/// Deletes the environment and waits until the garbage collector has left no more than `kept`.
pub async fn delete(stage: &Stage, kept: &[&str]) {
    // Pods end by the kubelet's hand, which is not there.
    let at_once = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    let pods = stage.api::<Pod>();
    stage
        .api::<RatesEnvironment>()
        .delete(NAME, &DeleteParams::default())
        .await
        .unwrap();
    let gone = async {
        loop {
            for pod in pods.list(&ListParams::default()).await.unwrap() {
                let _ = pods.delete(&pod.name_any(), &at_once).await;
            }
            let left = everything(stage).await;
            if left.len() == kept.len() && kept.iter().all(|name| left.iter().any(|left| left == name)) {
                return;
            }
            // The collector says nowhere that it is done.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_mins(1), gone).await.is_ok();
    assert!(in_time, "left after a minute: {:?}", everything(stage).await);
}

#[tokio::test]
async fn deleting_an_environment_leaves_nothing() {
    let server = server::shared();
    let stage = Stage::new(server, "deleted").await;
    let spec = json!({"database": {"seed": {"bundled": {}}}, "api": {"autoscaling": {"maxReplicas": 2}}});
    stage.until_ready(&spec).await;
    assert!(
        stage.environment().await.metadata.finalizers.is_none(),
        "no finalizer can get stuck"
    );
    assert_eq!(
        everything(&stage).await.len(),
        4 + 4 + 5 + 1 + 4 + 1 + 1 + 1 + 1 + 3 + 1
    );
    delete(&stage, &[]).await;
}

#[tokio::test]
async fn a_retained_volume_and_its_secrets_stay_and_are_taken_up_again() {
    let server = server::shared();
    let stage = Stage::new(server, "retained").await;
    let kept = [
        "harbour-postgres",
        "harbour-postgres-admin",
        "harbour-postgres-migrator",
        "data-harbour-postgres-0",
    ];
    let retained = json!({"database": {"seed": {"bundled": {}}, "storage": {"retain": true}}});
    stage.until_ready(&bundled()).await;
    stage.specify(&retained);
    stage.settle().await;
    for object in [
        "secret/harbour-postgres",
        "secret/harbour-postgres-admin",
        "secret/harbour-postgres-migrator",
        "pvc/data-harbour-postgres-0",
    ] {
        assert_eq!(stage.field(object, "{.metadata.ownerReferences}"), "", "{object}");
    }
    let password = stage.field("secret/harbour-postgres", "{.data.password}");
    let claim = stage.field("pvc/data-harbour-postgres-0", "{.metadata.uid}");
    let token = stage.field("secret/harbour-api", "{.data.ingest-token}");
    assert!(!token.is_empty());
    delete(&stage, &kept).await;

    stage.specify(&bundled());
    stage.settle().await;
    assert_eq!(
        stage.field("secret/harbour-postgres", "{.data.password}"),
        password
    );
    assert_eq!(
        stage.field("pvc/data-harbour-postgres-0", "{.metadata.uid}"),
        claim
    );
    assert_ne!(
        stage.field("secret/harbour-api", "{.data.ingest-token}"),
        token,
        "it went with its environment"
    );
    let owner = stage.field(
        "pvc/data-harbour-postgres-0",
        "{.metadata.ownerReferences[0].uid}",
    );
    assert_eq!(
        Some(owner),
        stage.environment().await.uid(),
        "no longer retained, it is owned again"
    );
    // The Job asks the database what it holds.
    stage.database_runs().await;
    let already = json!({"outcome": "succeeded", "source": "bundled", "checksum": "sha256:00", "rows": 3, "seconds": 0.5, "schemaVersion": 1, "alreadySeeded": true});
    stage.job_ends("seed", "publish", "Succeeded", &already).await;
    stage.settle().await;
    assert_eq!(stage.condition("Seeded").0, "True");
    delete(&stage, &[]).await;
}

#[tokio::test]
async fn what_is_kept_survives_a_prune_and_says_so() {
    let server = server::shared();
    let stage = Stage::new(server, "pruned").await;
    let kept = [
        "secret/harbour-postgres",
        "secret/harbour-postgres-admin",
        "pvc/data-harbour-postgres-0",
    ];
    let prune = |objects: &[Value]| {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let selector = format!("app.kubernetes.io/instance={NAME}");
        let arguments = [
            "-n",
            &stage.namespace,
            "apply",
            "-f",
            "-",
            "--prune",
            "-l",
            &selector,
            "--prune-allowlist=core/v1/ConfigMap",
            "--prune-allowlist=core/v1/Secret",
            "--prune-allowlist=core/v1/PersistentVolumeClaim",
            "--prune-allowlist=rates.internal/v1alpha1/RatesEnvironment",
        ];
        let answer = server.kubectl(&arguments, &list.to_string());
        assert!(answer.ok, "{}", answer.text);
    };
    let labels = json!({"app.kubernetes.io/instance": NAME});
    let other =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other", "labels": labels}});
    let environment = json!({
        "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
        "metadata": {"name": NAME, "labels": labels},
        "spec": {"database": {"seed": {"bundled": {}}, "storage": {"retain": true}}},
    });
    prune(&[environment, other.clone()]);
    stage.settle().await;
    for object in kept {
        let annotation = |name: &str| {
            stage.field(
                object,
                &format!(r"{{.metadata.annotations.argocd\.argoproj\.io/{name}}}"),
            )
        };
        assert_eq!(annotation("sync-options"), "Prune=false,Delete=false", "{object}");
        assert_eq!(annotation("compare-options"), "IgnoreExtraneous", "{object}");
    }
    // The environment is no longer among what is applied, and goes.
    prune(&[other]);
    let environments = stage.api::<RatesEnvironment>();
    assert!(environments.get_opt(NAME).await.unwrap().is_none());
    for object in kept {
        assert_ne!(stage.field(object, "{.metadata.uid}"), "", "{object}");
        assert!(
            !stage.field(object, "{.metadata.name}").contains("NotFound"),
            "{object}"
        );
    }
}

#[tokio::test]
async fn what_an_orphaning_deletion_leaves_is_taken_up_or_removed() {
    let server = server::shared();
    let stage = Stage::new(server, "orphaned").await;
    let autoscaled =
        json!({"database": {"seed": {"bundled": {}}}, "api": {"autoscaling": {"maxReplicas": 2}}});
    stage.until_ready(&autoscaled).await;
    let jobs = stage.names::<Job>().await;
    assert!(!jobs.is_empty());
    let uid = stage.environment().await.uid().unwrap();
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    let environments = stage.api::<RatesEnvironment>();
    environments.delete(NAME, &orphan).await.unwrap();
    let gone = await_condition(environments, NAME, conditions::is_deleted(&uid));
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .unwrap()
        .unwrap();

    stage.specify(&bundled());
    stage.settle().await;
    assert_eq!(stage.names::<HorizontalPodAutoscaler>().await, [""; 0]);
    let owner = stage.environment().await.uid();
    for job in stage.api::<Job>().list(&ListParams::default()).await.unwrap() {
        assert_eq!(
            Some(job.owner_references()[0].uid.clone()),
            owner,
            "{}",
            job.name_any()
        );
    }
    delete(&stage, &[]).await;
}

#[tokio::test]
async fn an_environment_waits_for_the_remains_of_an_earlier_one_of_its_name() {
    let server = server::shared();
    let stage = Stage::new(server, "remains").await;
    // A child whose owner, of the same name, was another object, and which something holds.
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "harbour-postgres",
            "finalizers": ["tests.example/hold"],
            "labels": {"app.kubernetes.io/managed-by": "rates-operator", "app.kubernetes.io/name": "rates", "app.kubernetes.io/instance": NAME},
            "ownerReferences": [{"apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment", "name": NAME, "uid": "0", "controller": true}],
        },
        "spec": {"ports": [{"port": 1}]},
    });
    let service: Service = serde_json::from_value(service).unwrap();
    let services = stage.api::<Service>();
    let created = services.create(&PostParams::default(), &service).await.unwrap();
    stage.specify(&bundled());
    stage.reconcile().await;
    let (_, reason, message) = stage.condition("Ready");
    assert_eq!(reason, "WaitingForDeletion", "{message}");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Pending");

    let _ = services
        .delete("harbour-postgres", &DeleteParams::default())
        .await;
    let release = json!({"metadata": {"finalizers": null}});
    services
        .patch(
            "harbour-postgres",
            &PatchParams::default(),
            &Patch::Merge(release),
        )
        .await
        .unwrap();
    let uid = created.uid().unwrap();
    let gone = await_condition(services, "harbour-postgres", conditions::is_deleted(&uid));
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .unwrap()
        .unwrap();
    stage.settle().await;
    assert!(stage.exists::<StatefulSet>("harbour-postgres").await);
}
