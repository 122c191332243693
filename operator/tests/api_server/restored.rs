//! Through the running controller: what is deleted or changed comes back within two seconds, and
//! what is somebody else's stays.

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::server;
use crate::stage::Stage;

/// How long anything may be gone.
const SOON: Duration = Duration::from_secs(5);
/// A machine that does a lot beside may be late now and then.
const TRIES: usize = 3;

/// Every kind of child, with a change of a field that the operator applies, and where that field is.
const CHILDREN: &str = r#"
- {apiVersion: v1, kind: Secret, name: harbour-postgres, change: {stringData: {host: elsewhere}}, field: /data/host}
- apiVersion: v1
  kind: Secret
  name: harbour-postgres-admin
  change: {metadata: {labels: {app.kubernetes.io/component: nonsense}}}
  field: /metadata/labels/app.kubernetes.io~1component
- apiVersion: v1
  kind: Secret
  name: harbour-postgres-migrator
  change: {stringData: {host: elsewhere}}
  field: /data/host
- apiVersion: v1
  kind: Secret
  name: harbour-api
  change: {stringData: {ingest-token-sha256: "00"}}
  field: /data/ingest-token-sha256
- apiVersion: v1
  kind: ConfigMap
  name: harbour-postgres-config
  change: {metadata: {labels: {app.kubernetes.io/component: nonsense}}}
  field: /metadata/labels/app.kubernetes.io~1component
- apiVersion: v1
  kind: ConfigMap
  name: harbour-postgres-leader
  change: {metadata: {annotations: {rates.internal/applied: null}}}
  field: /metadata/annotations/rates.internal~1applied
- apiVersion: v1
  kind: ServiceAccount
  name: harbour-postgres
  change: {automountServiceAccountToken: true}
  field: /automountServiceAccountToken
- {apiVersion: v1, kind: ServiceAccount, name: harbour-api, change: {automountServiceAccountToken: true}, field: /automountServiceAccountToken}
- {apiVersion: v1, kind: ServiceAccount, name: harbour-jobs, change: {automountServiceAccountToken: true}, field: /automountServiceAccountToken}
- {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, name: harbour-postgres, change: {spec: {ingress: []}}, field: /spec/ingress}
- {apiVersion: rbac.authorization.k8s.io/v1, kind: Role, name: harbour-postgres, change: {rules: []}, field: /rules}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  name: harbour-postgres
  change: {subjects: []}
  field: /subjects
- apiVersion: v1
  kind: Service
  name: harbour-postgres
  change: {spec: {selector: {app.kubernetes.io/component: nonsense}}}
  field: /spec/selector
- apiVersion: v1
  kind: Service
  name: harbour-postgres-headless
  change: {metadata: {labels: {app.kubernetes.io/component: nonsense}}}
  field: /metadata/labels/app.kubernetes.io~1component
- {apiVersion: apps/v1, kind: StatefulSet, name: harbour-postgres, change: {spec: {replicas: 0}}, field: /spec/replicas}
- apiVersion: apps/v1
  kind: Deployment
  name: harbour-api
  change: {spec: {template: {spec: {terminationGracePeriodSeconds: 3000}}}}
  field: /spec/template/spec/terminationGracePeriodSeconds
- apiVersion: autoscaling/v2
  kind: HorizontalPodAutoscaler
  name: harbour-api
  change: {spec: {maxReplicas: 9}}
  field: /spec/maxReplicas
- apiVersion: policy/v1
  kind: PodDisruptionBudget
  name: harbour-api
  change: {spec: {maxUnavailable: 7}}
  field: /spec/maxUnavailable
"#;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Child {
    api_version: String,
    kind: String,
    name: String,
    change: Value,
    field: String,
}

impl Child {
    fn all() -> Vec<Self> {
        serde_yaml::from_str(CHILDREN).unwrap()
    }

    fn api(&self, stage: &Stage) -> Api<DynamicObject> {
        let (group, version) = self
            .api_version
            .split_once('/')
            .unwrap_or(("", &self.api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &self.kind));
        Api::namespaced_with(stage.admin.clone(), &stage.namespace, &resource)
    }

    /// Somebody else's object of the kind and name.
    fn foreign(&self) -> Value {
        let mut manifest = json!({
            "apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": self.name},
        });
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}});
        let spec = match self.kind.as_str() {
            "Service" => json!({"ports": [{"port": 1}]}),
            "NetworkPolicy" => json!({"podSelector": {}}),
            "PodDisruptionBudget" => json!({"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}}),
            "StatefulSet" | "Deployment" => {
                json!({"selector": {"matchLabels": {"a": "b"}}, "template": template})
            }
            "HorizontalPodAutoscaler" => json!({
                "maxReplicas": 1, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"},
            }),
            "RoleBinding" => {
                manifest["roleRef"] =
                    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "theirs"});
                return manifest;
            }
            _ => return manifest,
        };
        manifest["spec"] = spec;
        manifest
    }
}

/// The time until something holds.
async fn until(what: &str, holds: impl AsyncFn() -> bool) -> Duration {
    let since = Instant::now();
    while !holds().await {
        assert!(
            since.elapsed() < Duration::from_mins(1),
            "not within a minute: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    since.elapsed()
}

/// The best of some tries has to be soon.
async fn is_soon(what: &str, attempt: impl AsyncFn() -> Duration) {
    let mut took = Duration::MAX;
    for _ in 0..TRIES {
        took = took.min(attempt().await);
        if took < SOON {
            break;
        }
    }
    assert!(took < SOON, "{what} for {took:?}");
}

#[tokio::test]
async fn every_child_that_is_deleted_or_changed_is_back_within_two_seconds() {
    let server = server::shared();
    let mut stage = Stage::new(server, "restored").await;
    let spec = json!({"database": {"seed": {"bundled": {}}}, "api": {"autoscaling": {"maxReplicas": 2}}});
    stage.until_ready(&spec).await;
    let _running = stage.run(&CancellationToken::new());
    for child in Child::all() {
        let (name, what) = (&child.name, format!("{} {}", child.kind, child.name));
        let api = child.api(&stage);
        let value = |object: &DynamicObject| {
            serde_json::to_value(object)
                .unwrap()
                .pointer(&child.field)
                .cloned()
        };

        let before = api.get(name).await.unwrap();
        let theirs = json!({"metadata": {"annotations": {"example.test/team": "tariffs"}}});
        let parameters = PatchParams::default();
        api.patch(name, &parameters, &Patch::Merge(&theirs))
            .await
            .unwrap();
        is_soon(&format!("{what} was changed"), async || {
            api.patch(name, &parameters, &Patch::Merge(&child.change))
                .await
                .unwrap();
            let back = async || value(&api.get(name).await.unwrap()) == value(&before);
            until(&format!("{what} is as it was"), back).await
        })
        .await;
        let after = api.get(name).await.unwrap();
        assert_eq!(after.uid(), before.uid(), "{what} is the same object");
        assert_eq!(after.annotations()["example.test/team"], "tariffs", "{what}");

        is_soon(&format!("{what} was gone"), async || {
            let uid = api.get(name).await.unwrap().uid();
            api.delete(name, &DeleteParams::background()).await.unwrap();
            let back = async || {
                let found = api.get_opt(name).await.unwrap();
                found.is_some_and(|found| found.uid() != uid)
            };
            until(&format!("{what} is there again"), back).await
        })
        .await;
    }
}

#[tokio::test]
async fn a_seed_that_is_deleted_before_it_is_done_is_started_again_within_two_seconds() {
    let server = server::shared();
    let mut stage = Stage::new(server, "restored-seed").await;
    stage.specify(&json!({"database": {"seed": {"bundled": {}}}}));
    stage.settle().await;
    let _running = stage.run(&CancellationToken::new());
    let jobs = stage.api::<Job>();
    is_soon("it was gone", async || {
        let job = stage.job("seed").await;
        jobs.delete(&job.name_any(), &DeleteParams::background())
            .await
            .unwrap();
        let back = async || {
            let found = jobs.get_opt(&job.name_any()).await.unwrap();
            found.is_some_and(|found| found.uid() != job.uid())
        };
        until("the seed is started again", back).await
    })
    .await;
}

#[tokio::test]
async fn a_foreign_object_of_any_kind_with_a_childs_name_is_told_and_left_alone() {
    let server = server::shared();
    for child in Child::all() {
        let Child { kind, name, .. } = &child;
        let namespace = format!("foreign-{}-{name}", kind.to_lowercase());
        let stage = Stage::new(server, &namespace).await;
        let answer = server.apply(&namespace, &child.foreign().to_string());
        assert!(answer.ok, "{}", answer.text);
        let api = child.api(&stage);
        let before = api.get(name).await.unwrap();
        let autoscaled =
            json!({"database": {"seed": {"bundled": {}}}, "api": {"autoscaling": {"maxReplicas": 2}}});
        stage.specify(&autoscaled);
        stage.settle().await;
        if matches!(kind.as_str(), "Deployment" | "HorizontalPodAutoscaler") {
            stage.until_the_api_is_due().await;
        }
        let (holds, reason, message) = stage.condition("Ready");
        assert_eq!(
            (holds.as_str(), reason.as_str()),
            ("False", "NameTaken"),
            "{kind} {name}: {message}"
        );
        assert!(
            message.starts_with(&format!("{kind} {name} exists already")),
            "{message}"
        );
        let after = api.get(name).await.unwrap();
        assert_eq!(
            after.resource_version(),
            before.resource_version(),
            "{kind} {name}"
        );
    }
}
