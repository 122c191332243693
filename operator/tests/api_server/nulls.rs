//! An explicit null means the same as an absent field, however it is applied.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use rates_operator::crd::RatesEnvironment;
use serde_json::{Value, json};

use crate::server;

/// Specifications that have every field between them, but those of lists and of Kubernetes' own types.
fn specifications() -> [Value; 5] {
    let resources =
        json!({"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}});
    let metadata = json!({"labels": {"team": "pricing"}, "annotations": {"team": "pricing"}});
    let url = json!({"url": "https://dumps.example/rates.sql", "sha256": "0".repeat(64)});
    [
        json!({
            "profile": "Staging",
            "database": {
                "version": "17", "instances": 3, "durability": "Preferred",
                "storage": {"size": "5Gi", "storageClassName": "fast", "retain": true},
                "resources": resources, "sidecars": {"roles": {"resources": resources}, "exporter": {"resources": resources}},
                "podMetadata": metadata, "serviceMetadata": metadata, "parameters": {"work_mem": "8MB"},
                "seed": {"bundled": {}},
            },
            "api": {
                "image": "localhost/rates-api:1",
                "autoscaling": {
                    "minReplicas": 2, "maxReplicas": 3, "targetCPUUtilizationPercentage": 70,
                    "metrics": [{"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 50}}}], "behavior": {
                        "scaleUp": {"stabilizationWindowSeconds": 1, "selectPolicy": "Max", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
                        "scaleDown": {"stabilizationWindowSeconds": 1, "selectPolicy": "Max", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]},
                    },
                },
                "rollout": {"propagationSeconds": 5, "maxBatchSeconds": 60, "maxSurge": 1, "onFailure": "RollBack"},
                "config": {
                    "requestTimeoutSeconds": 10, "queryTimeoutSeconds": 5, "connectTimeoutSeconds": 2, "readConnections": 2,
                    "answerCacheBytes": 1_000_000, "maxBatches": 2, "maxBatchBytes": 1_000_000, "maxBatchRows": 1000,
                    "bodyTimeoutSeconds": 10, "leaseSeconds": 10, "idempotencyHours": 24, "maxConnections": 100,
                    "idleTimeoutSeconds": 60, "idleUserAgents": "Blackbox Exporter/", "log": "info",
                },
                "env": [], "resources": resources, "podMetadata": metadata, "serviceMetadata": metadata,
            },
            "expose": {"host": "a.example", "gateway": {"name": "a", "namespace": "b", "sectionName": "c"}},
            "monitoring": {"podMonitor": true, "labels": {"release": "a"}},
            "jobs": {"resources": resources, "podMetadata": metadata},
            "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [], "affinity": {}, "priorityClassName": "high"},
            "imagePullSecrets": [], "networkPolicies": true, "suspend": false,
            "lifetime": {"ttl": "72h", "sleepAfter": "2h"},
        }),
        json!({
            "database": {"image": "localhost/rates-postgres:1", "seed": {"configMap": {"name": "a", "key": "b"}}},
            "api": {"replicas": 1},
            "expose": {"host": "a.example", "ingress": {"className": "a", "tlsSecretName": "b"}},
        }),
        json!({"database": {"seed": {"url": url}}}),
        json!({"database": {"seed": {"persistentVolumeClaim": {"claimName": "a", "path": "b"}}}}),
        json!({"database": {"seed": {"environment": {"name": "a", "namespace": "b"}}}, "sharing": []}),
    ]
}

/// The pointers of all fields below a schema that may be absent.
fn optional_fields(schema: &JSONSchemaProps, at: &str, found: &mut BTreeSet<String>) {
    let required = schema.required.clone().unwrap_or_default();
    for (name, property) in schema.properties.iter().flatten() {
        let pointer = format!("{at}/{name}");
        if !required.contains(name) {
            found.insert(pointer.clone());
        }
        // Kubernetes' own type.
        if name != "affinity" {
            optional_fields(property, &pointer, found);
        }
    }
}

fn with(specification: &Value, pointer: &str, null: bool) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/')?;
    let mut changed = specification.clone();
    let parent = changed.pointer_mut(parent)?.as_object_mut()?;
    parent.remove(name)?;
    if null {
        parent.insert(name.to_owned(), Value::Null);
    }
    Some(changed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_is_as_good_as_nothing_under_server_side_apply() {
    let server = server::shared();
    let kind = GroupVersionKind::gvk("rates.internal", "v1alpha1", "RatesEnvironment");
    let environments: Api<DynamicObject> =
        Api::namespaced_with(server.client().await, "default", &ApiResource::from_gvk(&kind));
    let apply = async |spec: &Value| {
        let object = json!({
            "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
            "metadata": {"name": "harbour-7"}, "spec": spec,
        });
        environments
            .patch(
                "harbour-7",
                &PatchParams::apply("tests").dry_run(),
                &Patch::Apply(object),
            )
            .await
            .map_err(|error| error.to_string())
            .map(|kept| {
                serde_json::from_value::<RatesEnvironment>(json!(kept))
                    .unwrap()
                    .spec
            })
    };
    let definition = rates_operator::crd::definition();
    let root = definition.spec.versions[0]
        .schema
        .clone()
        .unwrap()
        .open_api_v3_schema
        .unwrap();
    let mut fields = BTreeSet::new();
    optional_fields(&root.properties.unwrap()["spec"], "", &mut fields);
    for specification in specifications() {
        apply(&specification).await.unwrap();
    }
    for field in fields {
        let mut tried = false;
        for specification in specifications() {
            let (Some(null), Some(absent)) = (
                with(&specification, &field, true),
                with(&specification, &field, false),
            ) else {
                continue;
            };
            tried = true;
            if field == "/api/replicas" {
                // The scale subresource reads it, and takes no null.
                assert!(apply(&null).await.is_err());
                continue;
            }
            assert_eq!(
                apply(&null).await,
                apply(&absent).await,
                "{field} in {specification}"
            );
        }
        assert!(tried, "no specification of this test has {field}");
    }
}
