//! What the operator writes, and what it leaves alone.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::server;
use crate::stage::Stage;

fn bundled() -> Value {
    json!({"database": {"seed": {"bundled": {}}}})
}

#[tokio::test]
async fn an_environment_is_made_in_order_and_then_nothing_is_written() {
    let server = server::shared();
    let stage = Stage::new(server, "in-order").await;
    stage.specify(&bundled());

    let mut first = stage.reconcile().await;
    // What needs nothing of each other is made at once.
    first[..22].sort();
    assert_eq!(
        first,
        [
            "PATCH configmaps/harbour-postgres-config",
            "PATCH configmaps/harbour-postgres-failover",
            "PATCH configmaps/harbour-postgres-leader",
            "PATCH configmaps/harbour-postgres-sync",
            "PATCH networkpolicies/harbour-api",
            "PATCH networkpolicies/harbour-jobs",
            "PATCH networkpolicies/harbour-postgres",
            "PATCH persistentvolumeclaims/data-harbour-postgres-0",
            "PATCH poddisruptionbudgets/harbour-api",
            "PATCH rolebindings/harbour-postgres",
            "PATCH roles/harbour-postgres",
            "PATCH secrets/harbour-api",
            "PATCH secrets/harbour-postgres",
            "PATCH secrets/harbour-postgres-admin",
            "PATCH secrets/harbour-postgres-migrator",
            "PATCH serviceaccounts/harbour-api",
            "PATCH serviceaccounts/harbour-jobs",
            "PATCH serviceaccounts/harbour-postgres",
            "PATCH services/harbour-api",
            "PATCH services/harbour-postgres",
            "PATCH services/harbour-postgres-headless",
            "PATCH services/harbour-postgres-ro",
            "PATCH statefulsets/harbour-postgres",
            "PATCH ratesenvironments/harbour/status",
        ]
    );
    let second = stage.reconcile().await;
    assert_eq!(
        second,
        [
            "POST jobs",
            "PATCH deployments/harbour-api",
            "PATCH ratesenvironments/harbour/status"
        ],
        "the API's pods start beside the load"
    );
    assert_eq!(stage.reconcile().await, [""; 0], "nothing changed");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Pending");

    stage.database_runs().await;
    assert_eq!(
        stage.reconcile().await,
        ["PATCH ratesenvironments/harbour/status"]
    );
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Seeding");

    let seeded = json!({"outcome": "succeeded", "source": "bundled", "checksum": "sha256:00", "rows": 3, "seconds": 0.5, "schemaVersion": 1});
    stage.job_ends("seed", "publish", "Succeeded", &seeded).await;
    assert_eq!(
        stage.reconcile().await,
        ["PATCH ratesenvironments/harbour/status"]
    );
    assert_eq!(
        stage.condition("Seeded"),
        (
            "True".into(),
            "Loaded".into(),
            "bundled: 3 prices in 0.5 s".into()
        )
    );
    assert_eq!(stage.condition("Migrated").0, "True", "publishing migrated them");
    assert_eq!(
        stage.reconcile().await,
        [""; 0],
        "no migrate Job has anything to do"
    );

    stage.deployment_rolls_out().await;
    assert_eq!(
        stage.reconcile().await,
        ["PATCH ratesenvironments/harbour/status"]
    );
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Ready");
    assert_eq!(stage.condition("Ready").0, "True");
    let before = stage.environment().await;
    for _ in 0..3 {
        assert_eq!(stage.reconcile().await, [""; 0], "everything is as specified");
    }
    assert_eq!(
        stage.environment().await.resource_version(),
        before.resource_version()
    );
}

#[tokio::test]
async fn what_somebody_changed_is_put_back_and_what_somebody_added_is_left() {
    let server = server::shared();
    let stage = Stage::new(server, "put-back").await;
    stage.until_ready(&bundled()).await;
    let services = stage.api::<Service>();
    let change = json!({
        "metadata": {"labels": {"team": "tariffs"}},
        "spec": {"selector": {"app.kubernetes.io/component": "nonsense"}},
    });
    services
        .patch("harbour-api", &PatchParams::default(), &Patch::Merge(change))
        .await
        .unwrap();
    assert_eq!(stage.reconcile().await, ["PATCH services/harbour-api"]);
    let service = services.get("harbour-api").await.unwrap();
    assert_eq!(
        service.spec.unwrap().selector.unwrap()["app.kubernetes.io/component"],
        "api"
    );
    assert_eq!(service.metadata.labels.unwrap()["team"], "tariffs");

    services
        .delete("harbour-postgres-ro", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(stage.reconcile().await, ["PATCH services/harbour-postgres-ro"]);
    assert_eq!(stage.reconcile().await, [""; 0]);
}

#[tokio::test]
async fn a_foreign_object_with_a_childs_name_is_not_taken_over() {
    let server = server::shared();
    let secret = |name: &str, key: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: "theirs"}});
    for (namespace, manifest) in [
        (
            "foreign-service",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "harbour-postgres"}, "spec": {"ports": [{"port": 1}]}}),
        ),
        ("foreign-secret", secret("harbour-postgres", "password")),
        ("foreign-api-secret", secret("harbour-api", "ingest-token")),
    ] {
        let stage = Stage::new(server, namespace).await;
        assert!(server.apply(namespace, &manifest.to_string()).ok);
        let (kind, name) = (
            manifest["kind"].as_str().unwrap(),
            manifest["metadata"]["name"].as_str().unwrap(),
        );
        let object = format!("{kind}/{name}");
        let version = stage.printed(&object, "{.metadata.resourceVersion}");
        stage.specify(&bundled());
        stage.reconcile().await;
        let (holds, reason, message) = stage.condition("Ready");
        assert_eq!((holds.as_str(), reason.as_str()), ("False", "NameTaken"));
        assert!(
            message.starts_with(&format!("{kind} {name} exists already")),
            "{message}"
        );
        assert_eq!(stage.printed(&object, "{.metadata.resourceVersion}"), version);
        stage.settle().await;
        assert_eq!(stage.condition("Ready").1, "NameTaken");

        assert!(server.kubectl(&["-n", namespace, "delete", &object], "").ok);
        stage.settle().await;
        assert!(
            stage.exists::<StatefulSet>("harbour-postgres").await,
            "free again, it goes on"
        );
    }
}

#[tokio::test]
async fn the_autoscaler_gets_the_replicas_as_they_are_and_gives_them_back() {
    let server = server::shared();
    let stage = Stage::new(server, "hand-over").await;
    let fixed = |replicas: i32| json!({"database": {"seed": {"bundled": {}}}, "api": {"replicas": replicas}});
    let automatic = json!({"database": {"seed": {"bundled": {}}}, "api": {"autoscaling": {"minReplicas": 2, "maxReplicas": 6}}});
    let replicas = || stage.field("deployment/harbour-api", "{.spec.replicas}");
    stage.until_ready(&fixed(3)).await;
    assert_eq!(replicas(), "3");

    stage.specify(&automatic);
    let writes = stage.reconcile().await;
    assert_eq!(
        writes,
        [
            "PATCH deployments/harbour-api",
            "PATCH deployments/harbour-api",
            "PATCH horizontalpodautoscalers/harbour-api",
            "PATCH ratesenvironments/harbour/status",
        ]
    );
    assert_eq!(replicas(), "3", "not reset by the hand-over");

    // As the autoscaler does it.
    let scaled = server.kubectl(
        &[
            "-n",
            &stage.namespace,
            "scale",
            "deployment/harbour-api",
            "--replicas=5",
        ],
        "",
    );
    assert!(scaled.ok, "{}", scaled.text);
    stage.deployment_rolls_out().await;
    stage.settle().await;
    assert_eq!(replicas(), "5", "not fought over");
    // A change of something else leaves the number alone.
    let mut other = automatic.clone();
    other["api"]["rollout"] = json!({"propagationSeconds": 9});
    stage.specify(&other);
    assert!(
        stage
            .reconcile()
            .await
            .contains(&"PATCH deployments/harbour-api".to_owned())
    );
    assert_eq!(replicas(), "5");

    stage.specify(&fixed(2));
    let writes = stage.reconcile().await;
    let deleted = writes
        .iter()
        .position(|write| write == "DELETE horizontalpodautoscalers/harbour-api");
    let applied = writes
        .iter()
        .position(|write| write == "PATCH deployments/harbour-api");
    assert!(deleted.is_some() && deleted < applied, "{writes:?}");
    assert_eq!(replicas(), "2");
    assert!(!stage.exists::<HorizontalPodAutoscaler>("harbour-api").await);
    stage.settle().await;
}

#[tokio::test]
async fn an_autoscaled_api_starts_at_its_fewest_pods() {
    let server = server::shared();
    let stage = Stage::new(server, "starts-at-min").await;
    let spec = json!({"database": {"seed": {"bundled": {}}}, "api": {"autoscaling": {"minReplicas": 4, "maxReplicas": 6}}});
    stage.until_ready(&spec).await;
    assert_eq!(stage.field("deployment/harbour-api", "{.spec.replicas}"), "4");
    assert_eq!(stage.field("hpa/harbour-api", "{.spec.minReplicas}"), "4");
}

#[tokio::test]
async fn an_autoscaled_api_that_somebody_scales_to_zero_is_back_within_a_reconcile() {
    let server = server::shared();
    let stage = Stage::new(server, "scaled-to-zero").await;
    let spec = json!({"database": {"seed": {"bundled": {}}}, "api": {"autoscaling": {"minReplicas": 2, "maxReplicas": 6}}});
    stage.until_ready(&spec).await;
    let scale = |replicas: &str| {
        let arguments = [
            "-n",
            &stage.namespace,
            "scale",
            "deployment/harbour-api",
            replicas,
        ];
        let scaled = server.kubectl(&arguments, "");
        assert!(scaled.ok, "{}", scaled.text);
    };
    let replicas = || stage.field("deployment/harbour-api", "{.spec.replicas}");
    scale("--replicas=0");
    stage.reconcile().await;
    assert_eq!(replicas(), "2", "an autoscaler leaves alone what is at zero");
    stage.settle().await;
    scale("--replicas=5");
    stage.settle().await;
    assert_eq!(replicas(), "5", "the number is the autoscaler's again");
}

#[tokio::test]
async fn a_failed_seed_stays_failed_until_its_config_map_changes() {
    let server = server::shared();
    let stage = Stage::new(server, "failed-seed").await;
    stage.specify(&json!({"database": {"seed": {"configMap": {"name": "dump", "key": "rates.sql"}}}}));
    stage.settle().await;
    assert_eq!(stage.condition("Seeded").1, "SourceMissing");
    assert!(stage.names::<Job>().await.is_empty());

    let dump = |content: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dump"}, "data": {"rates.sql": content}}).to_string()
    };
    assert!(server.apply(&stage.namespace, &dump("SELECT 1/0;")).ok);
    stage.settle().await;
    stage.database_runs().await;
    let first = stage.job("seed").await.name_any();
    let failed = json!({"outcome": "failed", "message": "psql:<stdin>:1: ERROR:  division by zero"});
    stage.job_ends("seed", "load", "Failed", &failed).await;
    stage.settle().await;
    let (holds, reason, message) = stage.condition("Seeded");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "SeedFailed"));
    assert_eq!(message, "psql:<stdin>:1: ERROR:  division by zero");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Degraded");
    assert_eq!(stage.job("seed").await.name_any(), first, "not tried again");

    // Something else about the ConfigMap is no reason to try again.
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    stage
        .api::<ConfigMap>()
        .patch("dump", &PatchParams::default(), &Patch::Merge(label))
        .await
        .unwrap();
    assert_eq!(stage.reconcile().await, [""; 0]);

    assert!(server.apply(&stage.namespace, &dump("SELECT 1;")).ok);
    stage.settle().await;
    assert_ne!(
        stage.job("seed").await.name_any(),
        first,
        "another Job, and the first one is gone"
    );
    assert_eq!(stage.condition("Seeded").1, "Loading");
}

#[tokio::test]
async fn a_lost_attempt_is_replaced_under_its_name_and_others_are_not_made() {
    let server = server::shared();
    let stage = Stage::new(server, "lost-attempt").await;
    stage.specify(&bundled());
    stage.settle().await;
    let first = stage.job("seed").await;
    // Killed: no report.
    stage
        .job_ends("seed", "publish", "Failed", &json!("Killed"))
        .await;
    let writes = stage.reconcile().await;
    assert_eq!(
        writes[..2],
        [
            format!("DELETE jobs/{}", first.name_any()),
            "POST jobs".to_owned()
        ]
    );
    let second = stage.job("seed").await;
    assert_eq!(second.name_any(), first.name_any());
    assert_ne!(second.uid(), first.uid());
    assert_eq!(second.annotations()["rates.internal/attempt"], "2");
    stage.settle().await;
    assert_eq!(stage.job("seed").await.uid(), second.uid());
}

#[tokio::test]
async fn a_secret_is_made_once_and_repaired_where_it_is_broken() {
    let server = server::shared();
    let stage = Stage::new(server, "secrets").await;
    stage.specify(&bundled());
    stage.settle().await;
    let secrets = stage.api::<Secret>();
    let value =
        |secret: &Secret, key: &str| String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap();
    let made = secrets.get("harbour-postgres").await.unwrap();
    let password = value(&made, "password");
    assert_eq!(value(&made, "host"), "harbour-postgres.secrets.svc");
    assert_eq!(
        value(&made, "uri"),
        format!("postgresql://rates_a:{password}@harbour-postgres.secrets.svc:5432/rates")
    );

    let broken = json!({"data": {"uri": null, "host": "d3Jvbmc="}});
    secrets
        .patch("harbour-postgres", &PatchParams::default(), &Patch::Merge(broken))
        .await
        .unwrap();
    assert_eq!(stage.reconcile().await, ["PATCH secrets/harbour-postgres"]);
    let repaired = secrets.get("harbour-postgres").await.unwrap();
    assert_eq!(repaired.data, made.data, "the password was kept");

    let changed = json!({"stringData": {"password": "by hand"}});
    secrets
        .patch(
            "harbour-postgres",
            &PatchParams::default(),
            &Patch::Merge(changed),
        )
        .await
        .unwrap();
    stage.settle().await;
    let changed = secrets.get("harbour-postgres").await.unwrap();
    assert_eq!(value(&changed, "password"), "by hand", "never overwritten");
    assert!(
        value(&changed, "uri").contains("rates_a:by%20hand@"),
        "and the rest follows it"
    );

    secrets
        .delete("harbour-postgres", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(stage.reconcile().await, ["PATCH secrets/harbour-postgres"]);
}

#[tokio::test]
async fn a_new_image_is_rolled_out_only_after_its_migrations() {
    let server = server::shared();
    let stage = Stage::new(server, "new-image").await;
    stage.until_ready(&bundled()).await;
    let image = || {
        stage.field(
            "deployment/harbour-api",
            "{.spec.template.spec.containers[0].image}",
        )
    };
    stage.specify(
        &json!({"database": {"seed": {"bundled": {}}}, "api": {"image": "api:second", "replicas": 2}}),
    );
    stage.settle().await;
    assert_eq!(image(), "api:first");
    assert_eq!(
        stage.field("deployment/harbour-api", "{.spec.replicas}"),
        "2",
        "the rest need not wait"
    );
    assert_eq!(stage.condition("Migrated").1, "Migrating");
    assert_eq!(stage.condition("Ready").0, "True", "it serves all the while");
    assert_eq!(stage.field("renv/harbour", "{.status.phase}"), "Progressing");
    let migrated = json!({"outcome": "succeeded", "schemaVersion": 2, "applied": [2]});
    let jobs = stage.names::<Job>().await;
    assert_eq!(
        jobs.iter().filter(|name| name.contains("migrate")).count(),
        1,
        "{jobs:?}"
    );
    stage.job_ends("migrate", "migrate", "Succeeded", &migrated).await;
    stage.reconcile().await;
    assert_eq!(image(), "api:second");
    assert_eq!(
        stage.field("renv/harbour", "{.status.database.schema.version}"),
        "2"
    );
}

#[tokio::test]
async fn an_impossible_version_is_told_and_nothing_is_made() {
    let server = server::shared();
    let stage = Stage::new(server, "impossible").await;
    stage.specify(&json!({"database": {"version": "12"}}));
    assert_eq!(
        stage.reconcile().await,
        ["PATCH ratesenvironments/harbour/status"]
    );
    assert_eq!(stage.reconcile().await, [""; 0]);
    let (holds, reason, message) = stage.condition("Ready");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "InvalidSpec"));
    assert!(message.contains("one of 13.5, 17"), "{message}");
    stage.specify(&json!({"database": {"version": "17"}}));
    stage.settle().await;
    assert_eq!(
        stage.field(
            "statefulset/harbour-postgres",
            "{.spec.template.spec.containers[0].image}"
        ),
        "pg:seventeen"
    );
}

#[tokio::test]
async fn a_volume_grows_where_its_class_lets_it_and_is_left_where_not() {
    let server = server::shared();
    for (class, grows) in [("elastic", true), ("rigid", false)] {
        let stage = Stage::new(server, &format!("volume-{class}")).await;
        let manifest = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": class},
            "provisioner": "tests.example/none", "allowVolumeExpansion": grows,
        });
        assert!(server.apply("default", &manifest.to_string()).ok);
        let spec = |size: &str| json!({"database": {"seed": {"bundled": {}}, "storage": {"storageClassName": class, "size": size}}});
        let size = || {
            stage.field(
                "pvc/data-harbour-postgres-0",
                "{.spec.resources.requests.storage}",
            )
        };
        stage.until_ready(&spec("1Gi")).await;
        stage.specify(&spec("1024Mi"));
        assert_eq!(
            stage.reconcile().await,
            ["PATCH ratesenvironments/harbour/status"],
            "the same size, written otherwise"
        );
        stage
            .set_status::<PersistentVolumeClaim>(
                "data-harbour-postgres-0",
                &json!({"phase": "Bound", "capacity": {"storage": "1Gi"}}),
            )
            .await;
        stage.specify(&spec("3Gi"));
        stage.reconcile().await;
        stage.reconcile().await;
        let message = stage.field("renv/harbour", "{.status.message}");
        if grows {
            assert_eq!(size(), "3Gi");
            assert_eq!(
                stage.field("renv/harbour", "{.status.database.storage.size}"),
                "3Gi"
            );
            assert_eq!(message, "everything is as specified");
        } else {
            assert_eq!(size(), "1Gi");
            assert!(
                message.starts_with("database: the volume stays as it is:"),
                "{message}"
            );
            assert_eq!(stage.condition("Ready").0, "True", "it goes on serving");
        }
    }
}
