//! An operator that is killed at any step of a creation: the next one finishes it, and nothing
//! shows that there were two.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use rates_operator::crd::RatesEnvironment;
use serde_json::{Value, json};

use crate::server::{self, Server};
use crate::stage::{NAME, Stage, seeded};

const KINDS: &str = "secrets,configmaps,serviceaccounts,roles,rolebindings,persistentvolumeclaims,services,\
statefulsets,jobs,deployments,horizontalpodautoscalers,poddisruptionbudgets,\
networkpolicies";

/// Makes an environment, and plays everybody else until it is Ready. Gives how often the operator
/// reconciled to the end of its life, which is once.
async fn create(stage: &mut Stage) {
    let environment = json!({
        "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment", "metadata": {"name": NAME},
        "spec": {"database": {"seed": {"bundled": {}}}, "api": {"autoscaling": {"maxReplicas": 2}}},
    });
    let environment: RatesEnvironment = serde_json::from_value(environment).unwrap();
    let environments = stage.api::<RatesEnvironment>();
    environments
        .create(&PostParams::default(), &environment)
        .await
        .unwrap();
    for _ in 0..40 {
        if !stage.lives_through_a_reconcile().await {
            stage.restart().await;
            continue;
        }
        let status = stage.environment().await.status.unwrap_or_default();
        if status.phase.is_some_and(|phase| format!("{phase:?}") == "Ready") {
            return;
        }
        play_the_others(stage).await;
    }
    panic!("not Ready: {:?}", stage.environment().await.status);
}

async fn play_the_others(stage: &Stage) {
    let pods = stage.api::<Pod>();
    if stage
        .exists::<k8s_openapi::api::apps::v1::StatefulSet>("harbour-postgres")
        .await
        && !stage.exists::<Pod>("harbour-postgres-0").await
    {
        stage.database_runs().await;
    }
    let seed = ListParams::default().labels("app.kubernetes.io/component=seed");
    let jobs = stage.api::<Job>().list(&seed).await.unwrap();
    if !jobs.items.is_empty() && pods.list(&seed).await.unwrap().items.is_empty() {
        stage.job_ends("seed", "publish", "Succeeded", &seeded()).await;
    }
    if stage
        .exists::<k8s_openapi::api::apps::v1::Deployment>("harbour-api")
        .await
    {
        stage.deployment_rolls_out().await;
    }
}

/// All children as they are, but for what no two of them have in common.
fn children(server: &Server, namespace: &str) -> Vec<Value> {
    let ours = "--selector=app.kubernetes.io/managed-by=rates-operator";
    let answer = server.kubectl(&["-n", namespace, "get", KINDS, ours, "-o", "json"], "");
    assert!(answer.ok, "{}", answer.text);
    let text = answer.text.replace(namespace, "NAMESPACE");
    let mut list: Value = serde_json::from_str(&text).unwrap();
    let objects = list["items"].as_array_mut().unwrap();
    for object in objects.iter_mut() {
        let kind = object["kind"].clone();
        object.as_object_mut().unwrap().remove("status");
        let metadata = object["metadata"].as_object_mut().unwrap();
        for key in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "managedFields",
        ] {
            metadata.remove(key);
        }
        metadata["ownerReferences"][0]["uid"] = json!("UID");
        // Passwords, and names that come from a uid, are in it.
        let annotations = metadata["annotations"].as_object_mut().unwrap();
        for key in ["rates.internal/applied", "rates.internal/template"] {
            annotations
                .entry(key)
                .and_modify(|digest| *digest = json!("DIGEST"));
        }
        let spec = &mut object["spec"];
        if kind == "Service" {
            spec["clusterIP"] = json!("IP");
            spec["clusterIPs"] = json!("IP");
        }
        if kind == "Job" {
            // The rest follows from the uids of the Job and of the claim.
            let name = object["metadata"]["name"].as_str().unwrap();
            let (name, _) = name.rsplit_once('-').unwrap();
            *object = json!({"kind": "Job", "name": name});
        }
        if kind == "Secret" {
            let data = object["data"].as_object_mut().unwrap();
            data.values_mut().for_each(|value| *value = json!("SECRET"));
        }
    }
    std::mem::take(objects)
}

#[tokio::test]
async fn the_next_operator_finishes_what_one_that_was_killed_at_any_write_began() {
    let server = server::shared();
    let mut undisturbed = Stage::new(server, "undisturbed").await;
    undisturbed.dies_with_write(1000);
    Box::pin(create(&mut undisturbed)).await;
    let writes = 1000 - undisturbed.writes_left();
    assert!(writes > 20, "{writes}");
    let expected = children(server, &undisturbed.namespace);
    assert_eq!(expected.len(), 26);

    for write in 1..=writes {
        let mut stage = Stage::new(server, &format!("killed-at-{write}")).await;
        stage.dies_with_write(write);
        Box::pin(create(&mut stage)).await;
        assert!(stage.restarted(), "it died with write {write}");
        let found = children(server, &stage.namespace);
        let names = |objects: &[Value]| -> Vec<String> {
            let name = |object: &Value| format!("{} {}", object["kind"], object["metadata"]["name"]);
            objects.iter().map(name).collect()
        };
        assert_eq!(names(&found), names(&expected), "killed at write {write}");
        assert_eq!(found, expected, "killed at write {write}");
        let jobs = stage.api::<Job>().list(&ListParams::default()).await.unwrap();
        let attempts = jobs
            .iter()
            .map(|job| &job.annotations()["rates.internal/attempt"]);
        assert!(
            attempts.into_iter().all(|attempt| attempt == "1"),
            "none was made twice"
        );
    }
}
