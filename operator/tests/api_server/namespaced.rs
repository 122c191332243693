//! The operator of one namespace, with nothing but what `manifests/namespaced` gives it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::controlling::until;
use crate::installing::documents;
use crate::program::Program;
use crate::server::{self, MANIFESTS, NAMESPACED, Server};
use crate::stage::{NAME, Stage, seeded};

/// The objects of `manifests/namespaced`, for a namespace, as the overlay that it describes makes them.
fn rendered(server: &Server) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("manifests");
    let copied = std::process::Command::new("cp")
        .args(["-r", MANIFESTS])
        .arg(&link)
        .status()
        .unwrap();
    assert!(copied.success());
    let overlay = folder.path().join("overlay");
    fs::create_dir(&overlay).unwrap();
    let text = format!("namespace: {NAMESPACED}\nresources: [../manifests/namespaced]\n");
    fs::write(overlay.join("kustomization.yaml"), text).unwrap();
    let answer = server.kubectl(&["kustomize", overlay.to_str().unwrap()], "");
    assert!(answer.ok, "{}", answer.text);
    documents(&answer.text)
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let ours = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] != "rates-activator";
    let mut found = objects.iter().filter(ours);
    let object = found.next().unwrap();
    assert!(found.next().is_none(), "two of kind {kind}");
    object
}

/// The environment that the kubelet would give to the container.
fn environment(objects: &[Value]) -> BTreeMap<String, String> {
    let container = &of_kind(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let images = &of_kind(objects, "ConfigMap")["data"];
    let mut environment: BTreeMap<String, String> = serde_json::from_value(images.clone()).unwrap();
    for variable in container["env"].as_array().unwrap() {
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str().unwrap() {
            "metadata.namespace" => NAMESPACED,
            "metadata.name" => "rates-operator-x-y",
            other => panic!("nothing is known of {other}"),
        };
        environment.insert(variable["name"].as_str().unwrap().to_owned(), value.to_owned());
    }
    environment
}

#[tokio::test]
async fn the_operator_of_one_namespace_works_with_roles_there_and_asks_for_nothing_else() {
    let server = server::shared();
    let objects = rendered(server);
    for object in &objects {
        let kind = object["kind"].as_str().unwrap();
        assert!(
            object["metadata"]["namespace"] == NAMESPACED && !kind.starts_with("Cluster"),
            "{kind} {} is not in the namespace",
            object["metadata"]["name"]
        );
    }
    let stage = Stage::new(server, NAMESPACED).await;
    let environment = environment(&objects);
    let settings = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let operator = Program::start(&server.namespaced_kubeconfig(), settings);
    // Without rights it does not take the lease from one that has them.
    operator
        .until_readiness(503, "waiting for kinds to be listed: ratesenvironments: ")
        .await;
    let denied = server.audited().len();

    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let applied = server.kubectl(&["apply", "--server-side", "-f", "-"], &list);
    assert!(applied.ok, "{}", applied.text);
    operator.until_readiness(200, "leading").await;
    let allowed_from = server.audited().len();

    stage.specify(&json!({"database": {"seed": {"bundled": {}}}}));
    until("the StatefulSet is made", || {
        stage.exists::<StatefulSet>("harbour-postgres")
    })
    .await;
    stage.database_runs().await;
    until("the Job is made", || stage.has_job("seed")).await;
    stage.job_ends("seed", "publish", "Succeeded", &seeded()).await;
    until("the Deployment is made", || {
        stage.exists::<Deployment>("harbour-api")
    })
    .await;
    stage.deployment_rolls_out().await;
    until("it is Ready", async || stage.condition("Ready").0 == "True").await;

    operator.signal("TERM");
    let (ended, log) = operator.end().await;
    assert!(ended.success(), "{log}");
    let requests = server.audited();
    assert!(denied > 0 && requests.len() > allowed_from);
    for request in &requests {
        let of = &request["objectRef"];
        let whole = request["requestURI"].as_str().unwrap();
        assert_eq!(
            of["namespace"], NAMESPACED,
            "asked outside of its namespace: {whole}"
        );
        let late = requests[allowed_from..]
            .iter()
            .any(|later| later["auditID"] == request["auditID"]);
        assert!(
            !late || request["responseStatus"]["code"] != 403,
            "not allowed: {whole}"
        );
    }
    // The retained objects' labels aside, nothing of it is anywhere else.
    let names: BTreeSet<_> = stage.names::<StatefulSet>().await.into_iter().collect();
    assert_eq!(names, BTreeSet::from([format!("{NAME}-postgres")]));
    assert_eq!(stage.environment().await.name_any(), NAME);
}

/// The rules are written once, and both ways of installing give just these.
#[test]
fn both_ways_of_installing_grant_the_same_rules() {
    let server = server::shared();
    let source: Value =
        serde_yaml::from_str(&fs::read_to_string(format!("{MANIFESTS}/role/cluster-role.yaml")).unwrap())
            .unwrap();
    let namespaced = rendered(server);
    let role = namespaced
        .iter()
        .find(|object| object["kind"] == "Role" && object["metadata"]["name"] == "rates-operator")
        .unwrap();
    assert_eq!(role["rules"], source["rules"]);
    let whole = server.kubectl(&["get", "clusterrole/rates-operator", "-o", "json"], "");
    let whole: Value = serde_json::from_str(&whole.text).unwrap();
    assert_eq!(whole["rules"], source["rules"]);
    for rule in source["rules"].as_array().unwrap() {
        let parts = [&rule["apiGroups"], &rule["resources"], &rule["verbs"]];
        let star = parts
            .iter()
            .any(|part| part.as_array().unwrap().contains(&json!("*")));
        assert!(!star, "not minimal: {rule}");
    }
}
