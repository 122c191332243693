//! A pod in trouble: told by name and once, and over without help when it is mended.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::server;
use crate::stage::Stage;

fn with_image(image: &str) -> Value {
    json!({"database": {"seed": {"bundled": {}}}, "api": {"image": image}})
}

/// The reasons of the environment's Events, a word for each.
fn events(stage: &Stage, reason: &str) -> usize {
    let reasons = stage.field("events", "{.items[*].reason}");
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
    let Some(server) = server::shared() else { return };
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
    let Some(server) = server::shared() else { return };
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
