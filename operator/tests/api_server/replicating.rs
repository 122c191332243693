//! What the operator does about the instances of a database: keys, labels, rolls, moves of the primary, volumes. The tests
//! play Patroni, the kubelet and the StatefulSet's controller.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::controlling::until;
use crate::server;
use crate::stage::Stage;

fn name(ordinal: u8) -> String {
    format!("harbour-postgres-{ordinal}")
}

fn spec(instances: u8) -> Value {
    json!({"database": {"instances": instances, "seed": {"bundled": {}}, "storage": {"size": "1Gi"}}})
}

async fn patch<K>(stage: &Stage, name: &str, change: &Value)
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = stage.api();
    let change = Patch::Merge(change);
    api.patch(name, &PatchParams::default(), &change).await.unwrap();
}

/// Patroni's word on an instance, and its label.
async fn member(stage: &Stage, ordinal: u8, leads: bool, at: u32) {
    let role = if leads { "primary" } else { "replica" };
    let mut status = json!({"state": "running", "role": role, "timeline": 1, "xlog_location": at});
    if !leads {
        status["replication_state"] = "streaming".into();
    }
    let change = json!({"metadata": {
        "labels": {"rates.internal/role": role},
        "annotations": {"status": status.to_string()},
    }});
    patch::<Pod>(stage, &name(ordinal), &change).await;
}

async fn key(stage: &Stage, part: &str, annotations: &Value) {
    let change = json!({"metadata": {"annotations": annotations}});
    patch::<ConfigMap>(stage, &format!("harbour-postgres-{part}"), &change).await;
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// An instance is the primary, and all others stream from it.
async fn leads(stage: &Stage, leader: u8, instances: u8) {
    let standbys: Vec<String> = (0..instances)
        .filter(|other| *other != leader)
        .map(name)
        .collect();
    key(stage, "config", &json!({"initialize": "7123"})).await;
    key(
        stage,
        "leader",
        &json!({"leader": name(leader), "renewTime": now(), "optime": "1"}),
    )
    .await;
    let sync = json!({"leader": name(leader), "sync_standby": standbys.join(","), "quorum": "1"});
    key(stage, "sync", &sync).await;
    for ordinal in 0..instances {
        member(stage, ordinal, ordinal == leader, 1).await;
    }
}

/// Plays the StatefulSet's controller and the kubelet: a pod of the template with a revision.
async fn pod_runs(stage: &Stage, ordinal: u8, revision: &str) {
    let labels = json!({"controller-revision-hash": revision});
    stage.pod(&name(ordinal), "postgres", &labels, None).await;
    container(
        stage,
        ordinal,
        &json!({"running": {"startedAt": "2021-01-01T00:00:00Z"}}),
        true,
    )
    .await;
}

async fn container(stage: &Stage, ordinal: u8, how: &Value, ready: bool) {
    let status = json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
        "containerStatuses": [{
            "name": "postgres", "ready": ready, "image": "", "imageID": "", "restartCount": 0, "state": how,
        }],
    });
    stage.set_status::<Pod>(&name(ordinal), &status).await;
}

/// The controller has seen the template, and made a revision of it.
async fn template_is(stage: &Stage, revision: &str) {
    let set = stage.api::<StatefulSet>().get("harbour-postgres").await.unwrap();
    let replicas = set.spec.unwrap().replicas;
    let status = json!({
        "observedGeneration": set.metadata.generation, "updateRevision": revision,
        "replicas": replicas, "updatedReplicas": 0, "readyReplicas": replicas,
    });
    stage.set_status::<StatefulSet>("harbour-postgres", &status).await;
}

/// Three instances of which the first is the primary, and nothing to do.
async fn whole(namespace: &str) -> Stage {
    let stage = Stage::new(server::shared(), namespace).await;
    stage.specify(&spec(3));
    stage.settle().await;
    for ordinal in 0..3 {
        pod_runs(&stage, ordinal, "first").await;
    }
    leads(&stage, 0, 3).await;
    stage
        .job_ends("seed", "publish", "Succeeded", &crate::stage::seeded())
        .await;
    stage.reconcile().await;
    stage.deployment_rolls_out().await;
    stage.settle().await;
    template_is(&stage, "first").await;
    stage.settle().await;
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Ready");
    stage
}

fn annotation(stage: &Stage, part: &str, key: &str) -> String {
    let key = key.replace('.', "\\.");
    stage.field(
        &format!("cm/harbour-postgres-{part}"),
        &format!("{{.metadata.annotations.{key}}}"),
    )
}

fn events(stage: &Stage) -> String {
    stage.printed(
        "events",
        r#"{range .items[*]}{.reason}: {.note}{.message}{"\n"}{end}"#,
    )
}

async fn ask(stage: &Stage, annotation: &str, value: &str) {
    let change = json!({"metadata": {"annotations": {annotation: value}}});
    patch::<rates_operator::crd::RatesEnvironment>(stage, "harbour", &change).await;
}

async fn pods(stage: &Stage) -> Vec<String> {
    let of = ListParams::default().labels("app.kubernetes.io/component=postgres");
    let found = stage.api::<Pod>().list(&of).await.unwrap();
    let stays = found
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    stays.map(ResourceExt::name_any).collect()
}

#[tokio::test]
async fn renewals_wake_nobody_and_the_key_of_a_dead_primary_is_given_up_at_once() {
    let mut stage = whole("leader-key").await;
    let metrics = stage.context.as_ref().unwrap().metrics.clone();
    let reconciles = || {
        let text = metrics.text(&std::collections::BTreeMap::new(), &[]).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("rates_operator_reconciles_total"));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum::<u64>()
    };
    let stop = CancellationToken::new();
    let running = stage.run(&stop);
    until("it looks once at the beginning", async || reconciles() > 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = reconciles();
    for at in 2..30 {
        key(
            &stage,
            "leader",
            &json!({"renewTime": now(), "optime": at.to_string(), "slots": at.to_string()}),
        )
        .await;
        for ordinal in 0..3 {
            member(&stage, ordinal, ordinal == 0, at).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(reconciles(), before, "what Patroni writes every few seconds");

    let ended = json!({"terminated": {"exitCode": 137, "signal": 9, "finishedAt": now()}});
    container(&stage, 0, &ended, false).await;
    let since = Instant::now();
    let leader = async || {
        let config_map = stage
            .api::<ConfigMap>()
            .get("harbour-postgres-leader")
            .await
            .unwrap();
        config_map.annotations().get("leader").cloned()
    };
    while leader().await.is_some() {
        assert!(
            since.elapsed() < Duration::from_mins(1),
            "the key is not given up"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("the key was given up after {:?}", since.elapsed());

    // Another one takes over; the label of the one before goes, and an Event tells.
    member(&stage, 1, true, 30).await;
    key(&stage, "leader", &json!({"leader": name(1), "renewTime": now()})).await;
    until("the label goes", async || {
        stage
            .field(
                &format!("pod/{}", name(0)),
                r"{.metadata.labels.rates\.internal/role}",
            )
            .is_empty()
    })
    .await;
    until("an Event tells", async || {
        events(&stage)
            .contains("FailedOver: harbour-postgres-1 took over from harbour-postgres-0, which was lost")
    })
    .await;
    assert_eq!(
        stage.field("renv/harbour", "{.status.database.failovers.count}"),
        "1"
    );
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_roll_deletes_one_pod_at_a_time_also_when_the_operator_dies_in_it() {
    let mut stage = whole("roll").await;
    let deletes = |writes: &[String]| {
        let deleted = writes
            .iter()
            .filter_map(|write| write.strip_prefix("DELETE pods/"));
        deleted.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut changed = spec(3);
    changed["database"]["resources"] = json!({"requests": {"cpu": "30m"}});
    stage.specify(&changed);
    assert!(deletes(&stage.reconcile().await).is_empty());
    template_is(&stage, "second").await;
    for (ordinal, leader) in [(2, 0), (1, 0), (0, 1)] {
        assert_eq!(deletes(&stage.reconcile().await), [name(ordinal)]);
        assert_eq!(stage.condition("Progressing").1, "ReplacingInstances");
        assert!(deletes(&stage.reconcile().await).is_empty(), "one at a time");
        stage.restart().await;
        let gone = DeleteParams::default().grace_period(0);
        let _ = stage.api::<Pod>().delete(&name(ordinal), &gone).await;
        assert!(deletes(&stage.reconcile().await).is_empty(), "it is not back yet");
        pod_runs(&stage, ordinal, "second").await;
        assert!(
            deletes(&stage.reconcile().await).is_empty(),
            "it does not stream yet"
        );
        leads(&stage, leader, 3).await;
    }
    stage.settle().await;
    assert_eq!(pods(&stage).await.len(), 3);
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Ready");
    assert_eq!(stage.reconcile().await, [""; 0]);
}

#[tokio::test]
async fn a_roll_that_is_stuck_says_where_and_is_taken_back_by_one_apply() {
    let stage = whole("roll-stuck").await;
    let mut broken = spec(3);
    broken["database"]["image"] = json!("registry.example/none:1");
    stage.specify(&broken);
    stage.reconcile().await;
    template_is(&stage, "broken").await;
    stage.reconcile().await;
    let gone = DeleteParams::default().grace_period(0);
    let _ = stage.api::<Pod>().delete(&name(2), &gone).await;
    pod_runs(&stage, 2, "broken").await;
    let pull = json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}});
    container(&stage, 2, &pull, false).await;
    stage.settle().await;
    assert_eq!(pods(&stage).await.len(), 3, "it stops there");
    let (holds, reason, message) = stage.condition("Progressing");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "ImagePullFailed"));
    assert!(
        message.contains("1 of 3 instances are current") && message.contains(&name(2)),
        "{message}"
    );
    assert_eq!(stage.condition("Ready").0, "True");

    stage.specify(&spec(3));
    stage.reconcile().await;
    template_is(&stage, "first").await;
    stage.settle().await;
    assert_eq!(
        pods(&stage).await,
        [name(0), name(1)],
        "the one that does not run"
    );
}

#[tokio::test]
async fn a_switchover_is_carried_out_by_patroni_and_told_before_and_after() {
    let mut stage = whole("switchover").await;
    ask(&stage, "rates.internal/switchover", &name(2)).await;
    let writes = stage.reconcile().await;
    assert!(
        writes.contains(&"PATCH configmaps/harbour-postgres-failover".to_owned()),
        "{writes:?}"
    );
    assert_eq!(annotation(&stage, "failover", "leader"), name(0));
    assert_eq!(annotation(&stage, "failover", "member"), name(2));
    stage.settle().await;
    assert!(
        stage
            .field("renv/harbour", "{.status.message}")
            .contains("moving the primary to harbour-postgres-2")
    );
    stage.restart().await;

    leads(&stage, 2, 3).await;
    key(&stage, "failover", &json!({"leader": null, "member": null})).await;
    stage.settle().await;
    let asked = || {
        stage.field(
            "renv/harbour",
            r"{.metadata.annotations.rates\.internal/switchover}",
        )
    };
    assert_eq!(
        (asked(), annotation(&stage, "failover", "rates.internal/act")),
        (String::new(), String::new())
    );
    let told = events(&stage);
    for event in [
        "SwitchoverStarted: moving the primary from harbour-postgres-0 to harbour-postgres-2",
        "SwitchoverDone: harbour-postgres-2 is the primary",
        "SwitchedOver: harbour-postgres-2 took over from harbour-postgres-0",
    ] {
        assert!(told.contains(event), "{event}\n{told}");
    }
    assert_eq!(stage.reconcile().await, [""; 0]);

    ask(&stage, "rates.internal/switchover", "harbour-postgres-9").await;
    stage.settle().await;
    assert_eq!(asked(), "");
    assert!(
        events(&stage)
            .contains("SwitchoverRefused: rates.internal/switchover: harbour-postgres-9 was refused")
    );
    assert_eq!(
        annotation(&stage, "failover", "leader"),
        "",
        "nothing was ordered"
    );
}

/// What Prometheus is told of how many instances there are to be.
fn told_instances(stage: &Stage) -> String {
    let context = stage.context.as_ref().unwrap();
    let (phases, instances) = (context.cache.phases(), context.cache.instances());
    let text = context.metrics.text(&phases, &instances).unwrap();
    let series = format!(
        "rates_operator_database_instances{{environment_namespace=\"{}\",environment=\"harbour\"}} ",
        stage.namespace
    );
    let told = text.lines().find_map(|line| line.strip_prefix(&series));
    told.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[tokio::test]
async fn fewer_instances_move_the_primary_first_and_remove_their_volumes_last() {
    let stage = whole("scale-down").await;
    leads(&stage, 2, 3).await;
    stage.settle().await;
    stage.specify(&spec(1));
    stage.settle().await;
    let replicas = || stage.field("statefulset/harbour-postgres", "{.spec.replicas}");
    assert_eq!(replicas(), "3");
    assert_eq!(told_instances(&stage), "3", "the primary moves first");
    assert_eq!(annotation(&stage, "failover", "member"), name(0));
    leads(&stage, 0, 3).await;
    key(&stage, "failover", &json!({"leader": null, "member": null})).await;
    stage.settle().await;
    assert_eq!(replicas(), "1");
    assert_eq!(told_instances(&stage), "1");
    assert_eq!(
        stage.names::<PersistentVolumeClaim>().await.len(),
        3,
        "their pods are there"
    );
    let gone = DeleteParams::default().grace_period(0);
    for ordinal in [1, 2] {
        stage.api::<Pod>().delete(&name(ordinal), &gone).await.unwrap();
    }
    template_is(&stage, "first").await;
    stage.settle().await;
    let claims = stage
        .api::<PersistentVolumeClaim>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let stay = claims
        .iter()
        .filter(|claim| claim.metadata.deletion_timestamp.is_none());
    assert_eq!(
        stay.map(ResourceExt::name_any).collect::<Vec<_>>(),
        ["data-harbour-postgres-0"]
    );
    let release = json!({"metadata": {"finalizers": null}});
    for ordinal in [1, 2] {
        let claim = format!("data-{}", name(ordinal));
        let _ = stage
            .api::<PersistentVolumeClaim>()
            .patch(&claim, &PatchParams::default(), &Patch::Merge(&release))
            .await;
    }
    stage.settle().await;
    assert_eq!(stage.reconcile().await, [""; 0]);
}

#[tokio::test]
async fn an_instance_on_a_lost_node_gets_a_new_volume() {
    let stage = whole("replace").await;
    container(&stage, 1, &json!({"running": {}}), false).await;
    let claims = stage.api::<PersistentVolumeClaim>();
    let before = claims.get("data-harbour-postgres-1").await.unwrap().uid();
    ask(&stage, "rates.internal/replace", &name(1)).await;
    stage.settle().await;
    assert!(events(&stage).contains("ReplacingInstance: deleting data-harbour-postgres-1"));
    assert!(
        !stage.exists::<Pod>(&name(1)).await,
        "nobody waits for its containers"
    );
    // The volume's own controller lets it go once no pod has it.
    let release = json!({"metadata": {"finalizers": null}});
    let _ = claims
        .patch(
            "data-harbour-postgres-1",
            &PatchParams::default(),
            &Patch::Merge(release),
        )
        .await;
    stage.settle().await;
    assert_ne!(claims.get("data-harbour-postgres-1").await.unwrap().uid(), before);
    pod_runs(&stage, 1, "first").await;
    leads(&stage, 0, 3).await;
    stage.settle().await;
    assert!(events(&stage).contains("InstanceReplaced: harbour-postgres-1 has a new volume"));
    assert_eq!(
        stage.field("renv/harbour", r"{.metadata.annotations.rates\.internal/replace}"),
        ""
    );
    assert_eq!(stage.reconcile().await, [""; 0]);
}

#[tokio::test]
async fn the_password_of_the_replication_is_changed_once_for_each_wish() {
    let stage = whole("replication-password").await;
    let password = async || {
        crate::rotation::secret(&stage, "harbour-postgres-admin").await["replication-password"].clone()
    };
    let before = password().await;
    ask(&stage, "rates.internal/rotate-replication-password", "monday").await;
    stage.settle().await;
    let after = password().await;
    assert_ne!(before, after);
    for ordinal in 0..3 {
        let mark = stage.field(
            &format!("pod/{}", name(ordinal)),
            r"{.metadata.annotations.rates\.internal/refreshed-for}",
        );
        assert!(!mark.is_empty(), "its kubelet brings the Secret at once");
    }
    assert!(events(&stage).contains("ReplicationPasswordRotated"));
    assert_eq!(stage.reconcile().await, [""; 0]);
    assert_eq!(password().await, after);
}
