//! Copies whose source, or whose own volume, goes, comes back or has no data yet.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use rates_operator::crd::RatesEnvironment;
use serde_json::{Value, json};

use crate::copies::{SOURCE, copied, copy_of, pair, seeded, shared_with, source_spec, step};
use crate::leaving::delete;
use crate::server;
use crate::stage::{self, Stage};
use crate::volumes::{claim_and_pod_go, stateful_set_has};

/// The containers of the seed Job.
async fn steps(reader: &Stage) -> Vec<String> {
    let pod = reader.job("seed").await.spec.unwrap().template.spec.unwrap();
    let containers = pod.init_containers.into_iter().flatten().chain(pod.containers);
    containers.map(|container| container.name).collect()
}

/// A copy that was made, whose volume stayed and whose source shares nothing any more; the environment is made again.
async fn made_again(namespace: &str) -> (Stage, Stage) {
    let (source, reader) = pair(namespace, &["*"]).await;
    let mut spec = copy_of(&source);
    spec["database"]["storage"] = json!({"retain": true});
    reader.specify(&spec);
    reader.settle().await;
    reader.database_runs().await;
    reader.job_ends("seed", "publish", "Succeeded", &copied()).await;
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "Loaded");
    let kept = [
        "harbour-postgres",
        "harbour-postgres-admin",
        "harbour-postgres-migrator",
        "data-harbour-postgres-0",
    ];
    delete(&reader, &kept).await;
    source.specify(&source_spec(&json!([])));

    // Times of creation are whole seconds: in the second of its volume's, the environment is not known to be another one.
    let claims = reader.api::<PersistentVolumeClaim>();
    let claim = claims.get("data-harbour-postgres-0").await.unwrap();
    let next_second = claim.creation_timestamp().unwrap().0 + Duration::from_secs(1);
    let left = next_second.duration_since(Timestamp::now());
    tokio::time::sleep(left.try_into().unwrap_or_default()).await;
    reader.specify(&spec);
    reader.sees(&source).await;
    reader.settle().await;
    assert_eq!(
        seeded(&reader),
        (
            "Waiting".into(),
            "waiting for the database, whose volume was there before".into()
        )
    );
    reader.database_runs().await;
    reader.settle().await;
    assert!(seeded(&reader).1.starts_with("looking for data in the volume"));
    assert_eq!(steps(&reader).await, ["publish"], "nothing is loaded");
    assert!(!reader.exists::<Secret>("harbour-copy").await);
    (source, reader)
}

#[tokio::test]
async fn data_that_a_kept_volume_has_need_no_consent() {
    let (_source, reader) = made_again("copies-kept").await;
    let mut there = copied();
    there["alreadySeeded"] = json!(true);
    reader.job_ends("seed", "publish", "Succeeded", &there).await;
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "Loaded");
    let source = reader.field("renv/harbour", "{.status.database.seed.source}");
    assert_eq!(source, "environment:a/origin");
    assert_eq!(reader.reconcile().await, [""; 0], "at rest");
}

#[tokio::test]
async fn a_kept_volume_without_data_waits_for_consent() {
    let (source, reader) = made_again("copies-emptied").await;
    let nothing = json!({"outcome": "failed", "message": "the scratch database rates_seed_1 is not there"});
    reader.job_ends("seed", "publish", "Failed", &nothing).await;
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "NotShared");
    assert_eq!(reader.reconcile().await, [""; 0], "it looks once");
    source.specify(&source_spec(&shared_with(&["*"])));
    step(&reader, &source).await;
    reader.settle().await;
    assert!(
        seeded(&reader).1.starts_with("copying environment"),
        "{:?}",
        seeded(&reader)
    );
    assert_eq!(steps(&reader).await, ["load", "publish"]);
}

#[tokio::test]
async fn a_source_whose_volume_is_replaced_in_the_middle_is_copied_once_its_data_are_there_again() {
    let (source, reader) = pair("copies-replaced", &["*"]).await;
    step(&source, &reader).await;
    stateful_set_has(&source, 1).await;
    reader.database_runs().await;
    let first = reader.job("seed").await;

    claim_and_pod_go(&source).await;
    source.settle().await;
    step(&reader, &source).await;
    assert_eq!(seeded(&reader).0, "Loading", "its Job notices");
    let lost = json!({"outcome": "failed", "message": "the copy ended: server closed the connection", "retry": true});
    reader.job_ends("seed", "load", "Failed", &lost).await;
    reader.settle().await;
    let (reason, message) = seeded(&reader);
    assert_eq!(reason, "SourceNotReady");
    assert!(message.contains("has no primary"), "{message}");
    assert!(reader.names::<Job>().await.is_empty());

    // The new volume is taken up, with a database that has no data yet.
    stateful_set_has(&source, 0).await;
    source.settle().await;
    stateful_set_has(&source, 1).await;
    source.database_runs().await;
    source.settle().await;
    step(&reader, &source).await;
    reader.settle().await;
    let (reason, message) = seeded(&reader);
    assert_eq!(reason, "SourceNotReady");
    assert!(message.contains("whose own data are not loaded yet"), "{message}");

    source
        .job_ends("seed", "publish", "Succeeded", &stage::seeded())
        .await;
    source.settle().await;
    step(&reader, &source).await;
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "Loading");
    assert_ne!(reader.job("seed").await.uid(), first.uid());
    reader.job_ends("seed", "publish", "Succeeded", &copied()).await;
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "Loaded");
}

#[tokio::test]
async fn a_source_that_is_being_deleted_stops_the_copy() {
    let (source, reader) = pair("copies-leaving", &["*"]).await;
    assert_eq!(seeded(&reader).0, "Loading");
    let environments = source.api::<RatesEnvironment>();
    let hold = |finalizers: Value| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let parameters = PatchParams::default();
    environments
        .patch(SOURCE, &parameters, &hold(json!(["tests.example/hold"])))
        .await
        .unwrap();
    environments
        .delete(SOURCE, &DeleteParams::default())
        .await
        .unwrap();
    step(&reader, &source).await;
    reader.settle().await;
    let (reason, message) = seeded(&reader);
    assert_eq!(reason, "SourceMissing");
    assert!(message.contains("is being deleted"), "{message}");
    assert!(reader.names::<Job>().await.is_empty());
    assert!(!reader.exists::<Secret>("harbour-copy").await);

    environments
        .patch(SOURCE, &parameters, &hold(Value::Null))
        .await
        .unwrap();
    step(&reader, &source).await;
    assert!(
        seeded(&reader).1.contains("there is no RatesEnvironment origin"),
        "{:?}",
        seeded(&reader)
    );
}

#[tokio::test]
async fn a_copy_waits_for_a_source_that_cannot_be_read_yet_and_one_that_began_goes_on() {
    let server = server::shared();
    let reader = Stage::new(server, "copies-waiting").await;
    let source = reader.beside(SOURCE).await;
    reader.specify(&json!({"database": {"seed": {"environment": {"name": SOURCE}}}}));
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "SourceMissing");

    source.specify(&source_spec(&shared_with(&["copies-waiting"])));
    source.settle().await;
    reader.settle().await;
    let (reason, message) = seeded(&reader);
    assert_eq!(reason, "SourceNotReady");
    assert!(message.contains("whose own data are not loaded yet"), "{message}");
    assert_eq!(reader.condition("Progressing").0, "True", "it goes on by itself");
    assert!(reader.exists::<Secret>("harbour-copy").await);
    assert!(
        reader
            .names::<Job>()
            .await
            .iter()
            .all(|name| !name.starts_with("harbour-"))
    );

    source.until_the_api_is_due().await;
    source.settle().await;
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "Loading");

    // A failover in the middle is the Job's own to notice.
    source
        .api::<Pod>()
        .delete("origin-postgres-0", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    source.settle().await;
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "Loading");
    let lost =
        json!({"outcome": "failed", "message": "the connection to the source was lost", "retry": true});
    reader.job_ends("seed", "load", "Failed", &lost).await;
    reader.settle().await;
    let (reason, message) = seeded(&reader);
    assert_eq!(reason, "SourceNotReady");
    assert!(message.contains("whose database has no primary"), "{message}");

    let mut suspended = source_spec(&shared_with(&["copies-waiting"]));
    suspended["suspend"] = json!(true);
    source.specify(&suspended);
    reader.settle().await;
    assert!(
        seeded(&reader).1.contains("which is suspended"),
        "{:?}",
        seeded(&reader)
    );
}
