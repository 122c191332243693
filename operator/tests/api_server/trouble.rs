//! A pod in trouble: told by name and once, and over without help when it is mended.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use rates_operator::crd::RatesEnvironment;
use rates_operator::reconcile::LASTING;
use serde_json::{Value, json};

use crate::server;
use crate::stage::{NAME, Stage};

/// Waits for what other programs bring about.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let since = Instant::now();
    while !holds().await {
        assert!(
            since.elapsed() < Duration::from_mins(1),
            "not within a minute: {what}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn with_image(image: &str) -> Value {
    json!({"database": {"seed": {"bundled": {}}}, "api": {"image": image}})
}

/// The reasons of the environment's Events, a word for each.
fn events(stage: &Stage, reason: &str) -> usize {
    let reasons = stage.printed("events", "{.items[*].reason}");
    reasons.split_whitespace().filter(|told| *told == reason).count()
}

async fn pulling(stage: &Stage, pod: &str, reason: &str, message: &str) {
    let status = json!({
        "phase": "Pending",
        "containerStatuses": [{
            "name": "migrate", "ready": false, "image": "api:missing", "imageID": "", "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": message}},
        }],
    });
    stage.set_status::<Pod>(pod, &status).await;
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_told_once_and_mending_it_is_enough() {
    let server = server::shared();
    let stage = Stage::new(server, "wrong-image").await;
    stage.until_ready(&with_image("api:good")).await;

    stage.specify(&with_image("api:missing"));
    stage.settle().await;
    let jobs = stage.names::<k8s_openapi::api::batch::v1::Job>().await;
    let job = jobs.iter().find(|name| name.contains("-migrate-")).unwrap();
    let labels = json!({"batch.kubernetes.io/job-name": job});
    let job: k8s_openapi::api::batch::v1::Job = stage.api().get(job).await.unwrap();
    stage.pod("missing", "migrate", &labels, Some(&job)).await;
    pulling(&stage, "missing", "ErrImagePull", "not found").await;
    stage.settle().await;
    let (_, reason, message) = stage.condition("Migrated");
    assert_eq!(
        (reason.as_str(), message.as_str()),
        (
            "ImagePullFailed",
            "missing, container migrate: image api:missing cannot be pulled: not found"
        )
    );
    assert_eq!(stage.condition("Progressing").1, "ImagePullFailed");
    assert_eq!(stage.condition("Ready").0, "True", "the old pods serve");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Degraded");
    assert_eq!(events(&stage, "ImagePullFailed"), 1);

    let again = "Back-off pulling image \"api:missing\": ErrImagePull: not found";
    pulling(&stage, "missing", "ImagePullBackOff", again).await;
    assert_eq!(stage.reconcile().await, [""; 0], "nothing flaps");

    stage.specify(&with_image("api:good"));
    stage.settle().await;
    assert_eq!(
        stage.condition("Migrated").0,
        "True",
        "the old image's tables are there"
    );
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Ready");
    assert_eq!(events(&stage, "ImagePullFailed"), 1);
    let left = stage.names::<k8s_openapi::api::batch::v1::Job>().await;
    assert!(!left.contains(&job.name_any()), "its Job is gone: {left:?}");
}

/// The seed's pod, whose own container ended with a report and whose mesh's proxy runs on.
async fn seeded_beside_a_proxy(stage: &Stage) {
    let report =
        json!({"outcome": "succeeded", "source": "bundled", "rows": 3, "seconds": 0.5, "schemaVersion": 1});
    stage.job_ends("seed", "publish", "Running", &report).await;
    let name = format!("{}-pod", stage.job("seed").await.uid().unwrap());
    let mut pod = serde_json::to_value(stage.api::<Pod>().get(&name).await.unwrap()).unwrap();
    let proxy = json!({
        "name": "a-proxy", "ready": true, "image": "", "imageID": "", "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    });
    let containers = pod["status"]["containerStatuses"].as_array_mut().unwrap();
    containers.insert(0, proxy);
    stage.set_status::<Pod>(&name, &pod["status"]).await;
}

#[tokio::test]
async fn a_job_that_a_proxy_keeps_running_is_done_and_goes_once_its_report_is_kept() {
    let server = server::shared();
    let stage = Stage::new(server, "proxied").await;
    stage.specify(&with_image("api:good"));
    stage.settle().await;
    stage.database_runs().await;
    seeded_beside_a_proxy(&stage).await;
    let writes = stage.reconcile().await;
    assert_eq!(
        writes,
        ["PATCH ratesenvironments/harbour/status"],
        "its report is kept first"
    );
    assert_eq!(stage.condition("Seeded").0, "True");
    let job = stage.job("seed").await.name_any();
    assert_eq!(stage.reconcile().await, [format!("DELETE jobs/{job}")]);
    stage.settle().await;
    assert_eq!(stage.condition("Seeded").0, "True", "and not done again");
    assert_eq!(stage.condition("Migrated").0, "True");
    let left = stage.names::<k8s_openapi::api::batch::v1::Job>().await;
    assert!(left.iter().all(|name| !name.contains("-seed-")), "{left:?}");
}

/// Plays a controller, which says in an Event what became of its pod.
fn told(stage: &Stage, name: &str, controller: &ObjectMeta, reason: &str, at: &str, note: &str) {
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "reason": reason, "message": note,
        "involvedObject": {"kind": "Any", "namespace": stage.namespace, "name": controller.name, "uid": controller.uid},
        "firstTimestamp": at, "lastTimestamp": at, "type": "Warning", "source": {"component": "a-controller"},
    });
    let answer = stage.server.apply(&stage.namespace, &event.to_string());
    assert!(answer.ok, "{}", answer.text);
}

#[tokio::test]
async fn what_the_api_server_refuses_to_a_controller_is_told_in_its_words() {
    const WORDS: &str = "pods \"x\" is forbidden: minimum cpu usage per Container is 50m, but request is 1m";
    let server = server::shared();
    let stage = Stage::new(server, "refused").await;
    stage.specify(&with_image("api:good"));
    stage.settle().await;
    let set: StatefulSet = stage.api().get("harbour-postgres").await.unwrap();
    let job = stage.job("seed").await;
    told(
        &stage,
        "a",
        &set.metadata,
        "FailedCreate",
        "2026-01-01T00:00:00Z",
        WORDS,
    );
    told(
        &stage,
        "b",
        &job.metadata,
        "FailedCreate",
        "2026-01-01T00:00:00Z",
        WORDS,
    );
    let failure = json!({"conditions": [
        {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": WORDS},
    ]});
    stage.set_status::<Deployment>("harbour-api", &failure).await;
    // Pods get some seconds to follow.
    until("it is told", async || {
        stage.reconcile().await;
        ["DatabaseReady", "Seeded"].map(|part| stage.condition(part).1) == ["PodRefused"; 2]
    })
    .await;
    let parts = [
        ("DatabaseReady", "StatefulSet harbour-postgres".to_owned()),
        ("Seeded", format!("Job {}", job.name_any())),
        ("ApiAvailable", "Deployment harbour-api".to_owned()),
    ];
    for (condition, part) in parts {
        let (holds, _, message) = stage.condition(condition);
        assert_eq!(holds, "False");
        if condition != "ApiAvailable" {
            assert_eq!(message, format!("{part} gets no pod: {WORDS}"));
        }
    }
    assert_eq!(stage.condition("Progressing").1, "PodRefused");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Degraded");
    assert_eq!(events(&stage, "PodRefused"), 1);

    told(
        &stage,
        "c",
        &set.metadata,
        "SuccessfulCreate",
        "2026-01-01T00:00:09Z",
        "made",
    );
    stage.reconcile().await;
    assert_eq!(
        stage.condition("DatabaseReady").1,
        "Starting",
        "only the newest counts"
    );
}

#[tokio::test]
async fn a_webhook_that_fails_is_told_when_it_lasts_and_the_rest_is_cared_for() {
    let server = server::shared();
    let stage = Stage::new(server, "webhook").await;
    stage.until_ready(&with_image("api:good")).await;
    let webhook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "fails-for-services"},
        "webhooks": [{
            "name": "fails.tests.example", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "failurePolicy": "Fail", "timeoutSeconds": 1,
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"], "operations": ["CREATE", "UPDATE"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}},
        }],
    });
    assert!(server.apply("default", &webhook.to_string()).ok);
    let change = json!({"spec": {"selector": {"app.kubernetes.io/component": "nonsense"}}});
    let services = stage.api::<Service>();
    // The webhook holds people up, too, as soon as the API server knows of it.
    until("the webhook is known", async || {
        let label = Patch::Merge(json!({"metadata": {"labels": {"tried": "once"}}}));
        let dry = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        services.patch("harbour-api", &dry, &label).await.is_err()
    })
    .await;
    let off = |rules: Value| {
        let patch =
            json!([{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": rules}]).to_string();
        let kind = "validatingwebhookconfiguration/fails-for-services";
        let answer = server.kubectl(&["patch", kind, "--type=json", "-p", &patch], "");
        assert!(answer.ok, "{}", answer.text);
    };
    off(json!(["DELETE"]));
    until("the Service can be changed", async || {
        let patch = Patch::Merge(&change);
        services
            .patch("harbour-api", &PatchParams::default(), &patch)
            .await
            .is_ok()
    })
    .await;
    off(json!(["CREATE", "UPDATE"]));
    until("the webhook is known again", async || {
        let label = Patch::Merge(json!({"metadata": {"labels": {"tried": "twice"}}}));
        let dry = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        services.patch("harbour-api", &dry, &label).await.is_err()
    })
    .await;
    // Something else that is to be cared for meanwhile.
    let budgets = stage.api::<PodDisruptionBudget>();
    budgets
        .delete("harbour-api", &DeleteParams::default())
        .await
        .unwrap();

    assert!(!stage.reconciles_after(0).await, "tried again");
    assert_eq!(stage.condition("Reconciled").0, "True", "it may pass");
    assert!(stage.exists::<PodDisruptionBudget>("harbour-api").await);
    assert!(!stage.reconciles_after(LASTING).await);
    let (holds, reason, message) = stage.condition("Reconciled");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "ApplyFailed"));
    assert!(
        message.starts_with("cannot write Service harbour-api") && message.contains("fails.tests.example"),
        "{message}"
    );
    assert_eq!(stage.condition("Ready").0, "True", "it serves all the same");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Degraded");
    assert_eq!(events(&stage, "ApplyFailed"), 1);

    let kind = "validatingwebhookconfiguration/fails-for-services";
    assert!(server.kubectl(&["delete", kind], "").ok);
    until("it is over", async || stage.reconciles_after(LASTING).await).await;
    stage.settle().await;
    assert_eq!(stage.condition("Reconciled").0, "True");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Ready");
}

#[tokio::test]
async fn a_specification_that_cannot_work_leaves_ready_as_it_is_and_the_rest_cared_for() {
    let server = server::shared();
    let stage = Stage::new(server, "wrong-beside").await;
    stage.until_ready(&with_image("api:good")).await;
    let mut wrong = with_image("api:good");
    wrong["database"]["version"] = json!("13.99");
    wrong["api"]["replicas"] = json!(2);
    stage.specify(&wrong);
    stage.settle().await;
    assert_eq!(stage.condition("Ready").0, "True", "it serves");
    let (holds, reason, message) = stage.condition("Reconciled");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "InvalidSpec"));
    assert!(message.contains("13.99"), "{message}");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Degraded");
    assert_eq!(
        stage.field("deployment/harbour-api", "{.spec.replicas}"),
        "2",
        "the rest is done"
    );
    stage
        .api::<StatefulSet>()
        .delete("harbour-postgres", &DeleteParams::background())
        .await
        .unwrap();
    until("it is gone or there again", async || {
        stage.reconcile().await;
        stage.exists::<StatefulSet>("harbour-postgres").await
    })
    .await;
    let image = stage.field(
        "statefulset/harbour-postgres",
        "{.spec.template.spec.containers[0].image}",
    );
    assert_eq!(image, "pg:thirteen");
}

#[tokio::test]
async fn an_environment_that_is_being_deleted_is_not_ready() {
    let server = server::shared();
    let stage = Stage::new(server, "not-ready-deleted").await;
    stage.until_ready(&with_image("api:good")).await;
    let environments = stage.api::<RatesEnvironment>();
    let hold = Patch::Merge(json!({"metadata": {"finalizers": ["tests.example/hold"]}}));
    environments
        .patch(NAME, &PatchParams::default(), &hold)
        .await
        .unwrap();
    let _ = environments.delete(NAME, &DeleteParams::default()).await.unwrap();
    stage.reconcile().await;
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Terminating");
    let (holds, reason, _) = stage.condition("Ready");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "Terminating"));
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    environments
        .patch(NAME, &PatchParams::default(), &release)
        .await
        .unwrap();
}
