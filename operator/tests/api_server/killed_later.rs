//! An operator that is killed at any write of a change to an environment that runs: a new image, one
//! that is taken back, a suspension and its end, a new token, and a new password.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use rates_operator::crd::RatesEnvironment;
use serde_json::{Value, json};

use crate::rotation::{annotate, ask, secret};
use crate::server;
use crate::sleeping;
use crate::stage::{NAME, Stage};

/// Makes a change again and again, with an operator that dies with its first write, its second and so
/// on, until one outlives the change. Each change is played to its end.
async fn kill_at_every_write(
    stage: &mut Stage,
    change: impl AsyncFn(&Stage, i64),
    play: impl AsyncFn(&Stage),
    done: impl AsyncFn(&Stage, i64) -> bool,
) {
    for write in 1.. {
        change(stage, write).await;
        stage.dies_with_write(write);
        let mut died = false;
        let mut reconciles = 0;
        while !done(stage, write).await {
            reconciles += 1;
            assert!(
                reconciles < 40,
                "killed at write {write}: {:?}",
                stage.environment().await.status
            );
            if stage.lives_through_a_reconcile().await {
                play(stage).await;
            } else {
                died = true;
                stage.restart().await;
            }
        }
        stage.dies_with_write(i64::MAX);
        stage.settle().await;
        if !died {
            assert!(write > 2, "it wrote more than that");
            return;
        }
    }
}

fn with_image(image: &str) -> Value {
    json!({
        "database": {"seed": {"bundled": {}}},
        "api": {"image": image, "rollout": {"onFailure": "RollBack"}},
    })
}

fn image(stage: &Stage) -> String {
    stage.field(
        "deployment/harbour-api",
        "{.spec.template.spec.containers[0].image}",
    )
}

fn phase(stage: &Stage) -> String {
    stage.field("renv/harbour", "{.status.phase}")
}

/// Plays a migration that succeeds, once for each Job, and a rollout.
async fn others_work(stage: &Stage) {
    let of = ListParams::default().labels("app.kubernetes.io/component=migrate");
    let jobs = stage.api::<Job>().list(&of).await.unwrap();
    for job in &jobs {
        assert_eq!(job.annotations()["rates.internal/attempt"], "1", "made twice");
    }
    if let [job] = &jobs.items[..]
        && !stage.exists::<Pod>(&format!("{}-pod", job.uid().unwrap())).await
    {
        let report = json!({"outcome": "succeeded", "schemaVersion": 1, "applied": []});
        stage.job_ends("migrate", "migrate", "Succeeded", &report).await;
    }
    if stage.field("deployment/harbour-api", "{.spec.replicas}") != "0" {
        stage.deployment_rolls_out().await;
    }
}

#[tokio::test]
async fn a_new_image_is_rolled_out_whatever_write_of_it_kills_the_operator() {
    let server = server::shared();
    let mut stage = Stage::new(server, "killed-image").await;
    stage.until_ready(&with_image("api:0")).await;
    Box::pin(kill_at_every_write(
        &mut stage,
        async |stage, number| stage.specify(&with_image(&format!("api:{number}"))),
        others_work,
        async |stage, number| image(stage) == format!("api:{number}") && phase(stage) == "Ready",
    ))
    .await;
}

#[tokio::test]
async fn an_image_that_crashes_is_taken_back_whatever_write_of_it_kills_the_operator() {
    let server = server::shared();
    let mut stage = Stage::new(server, "killed-back").await;
    stage.until_ready(&with_image("api:good")).await;
    let crash = async |stage: &Stage| {
        others_work(stage).await;
        let now = image(stage);
        let name = now.replace(':', "-");
        if now == "api:good" || stage.exists::<Pod>(&name).await {
            return;
        }
        let revision = stage.field(
            "deployment/harbour-api",
            r"{.spec.template.metadata.annotations.rates\.internal/revision}",
        );
        stage.pod(&name, "api", &json!({}), None).await;
        let change = json!({"metadata": {"annotations": {"rates.internal/revision": revision}}});
        let pods = stage.api::<Pod>();
        pods.patch(&name, &PatchParams::default(), &Patch::Merge(change))
            .await
            .unwrap();
        let status = json!({
            "phase": "Running",
            "containerStatuses": [{
                "name": "api", "ready": false, "image": "any", "imageID": "", "restartCount": 2,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 9, "message": "error: sunk"}},
            }],
        });
        stage.set_status::<Pod>(&name, &status).await;
        // What others wrote of the rollout that does not work.
        let status = json!({"updatedReplicas": 0, "conditions": []});
        stage
            .set_status::<k8s_openapi::api::apps::v1::Deployment>("harbour-api", &status)
            .await;
    };
    Box::pin(kill_at_every_write(
        &mut stage,
        async |stage, number| stage.specify(&with_image(&format!("api:bad-{number}"))),
        crash,
        async |stage, number| {
            image(stage) == "api:good"
                && stage.condition("Progressing").1 == "RolledBack"
                && stage.exists::<Pod>(&format!("api-bad-{number}")).await
        },
    ))
    .await;
}

#[tokio::test]
async fn a_suspension_and_its_end_come_about_whatever_write_kills_the_operator() {
    let server = server::shared();
    let mut stage = Stage::new(server, "killed-suspend").await;
    let spec = |suspend: bool| {
        json!({
            "suspend": suspend,
            "database": {"seed": {"bundled": {}}},
            "api": {"autoscaling": {"minReplicas": 2, "maxReplicas": 6}},
        })
    };
    stage.until_ready(&spec(false)).await;
    let database = async |stage: &Stage| {
        let replicas = stage.field("statefulset/harbour-postgres", "{.spec.replicas}");
        let runs = stage.exists::<Pod>("harbour-postgres-0").await;
        if replicas == "0" && runs {
            let now = DeleteParams::default().grace_period(0);
            stage
                .api::<Pod>()
                .delete("harbour-postgres-0", &now)
                .await
                .unwrap();
        } else if replicas == "1" && !runs {
            stage.database_runs().await;
        }
        others_work(stage).await;
    };
    Box::pin(kill_at_every_write(
        &mut stage,
        async |stage, number| stage.specify(&spec(number % 2 == 1)),
        database,
        async |stage, number| phase(stage) == if number % 2 == 1 { "Suspended" } else { "Ready" },
    ))
    .await;
}

#[tokio::test]
async fn a_sleep_and_its_end_come_about_whatever_write_kills_the_operator() {
    let server = server::shared();
    let mut stage = Stage::new(server, "killed-sleep").await;
    stage
        .until_ready(&json!({"database": {"seed": {"bundled": {}}}}))
        .await;
    let others = async |stage: &Stage| {
        sleeping::activator(stage, &["198.18.9.1"]);
        let now = DeleteParams::default().grace_period(0);
        let database = stage.field("statefulset/harbour-postgres", "{.spec.replicas}");
        match (database.as_str(), stage.exists::<Pod>("harbour-postgres-0").await) {
            ("0", true) => {
                stage
                    .api::<Pod>()
                    .delete("harbour-postgres-0", &now)
                    .await
                    .unwrap();
            }
            ("1", false) => stage.database_runs().await,
            _ => {}
        }
        let api = stage.field("deployment/harbour-api", "{.spec.replicas}");
        match (api.as_str(), stage.exists::<Pod>(sleeping::API_POD).await) {
            ("0", true) => {
                stage.api::<Pod>().delete(sleeping::API_POD, &now).await.unwrap();
            }
            ("1", false) => sleeping::api_serves(stage, "198.18.7.1").await,
            _ => {}
        }
        stage.deployment_rolls_out().await;
    };
    Box::pin(kill_at_every_write(
        &mut stage,
        async |stage, number| {
            let asked = if number % 2 == 1 { "sleep" } else { "wake" };
            let annotation = format!("rates.internal/{asked}");
            stage
                .annotate::<RatesEnvironment>(NAME, &json!({annotation: "now"}))
                .await;
        },
        others,
        async |stage, number| {
            let is_asked = stage
                .field("renv/harbour", "{.metadata.annotations}")
                .contains("now");
            let slice = stage.exists::<EndpointSlice>(sleeping::SLICE).await;
            let asleep = number % 2 == 1;
            let expected = if asleep { "Asleep" } else { "Ready" };
            phase(stage) == expected && slice == asleep && !is_asked
        },
    ))
    .await;
}

#[tokio::test]
async fn a_new_token_is_published_once_whatever_write_kills_the_operator() {
    let server = server::shared();
    let mut stage = Stage::new(server, "killed-token").await;
    stage
        .until_ready(&json!({"database": {"seed": {"bundled": {}}}}))
        .await;
    let token = |stage: &Stage| stage.field("secret/harbour-api", "{.data.ingest-token}");
    let rotated = |stage: &Stage| {
        stage.field(
            "secret/harbour-api",
            r"{.metadata.annotations.rates\.internal/rotated-ingest-token}",
        )
    };
    let tokens = std::cell::RefCell::new(vec![token(&stage)]);
    Box::pin(kill_at_every_write(
        &mut stage,
        async |stage, number| {
            let rotation = format!("number-{number}");
            let change =
                json!({"metadata": {"annotations": {"rates.internal/rotate-ingest-token": rotation}}});
            stage
                .api::<RatesEnvironment>()
                .patch(NAME, &PatchParams::default(), &Patch::Merge(change))
                .await
                .unwrap();
        },
        async |stage| {
            others_work(stage).await;
            let mut tokens = tokens.borrow_mut();
            let now = token(stage);
            if tokens.last() != Some(&now) {
                tokens.push(now);
            }
        },
        async |stage, number| rotated(stage) == format!("number-{number}") && phase(stage) == "Ready",
    ))
    .await;
    let tokens = tokens.into_inner();
    let rotations = rotated(&stage).replace("number-", "");
    assert_eq!(
        (tokens.len() - 1).to_string(),
        rotations,
        "one new token for each rotation: {tokens:?}"
    );
}

/// Plays the role manager, which says that the next login works, and the API's pod, which uses the template's login.
async fn logins_change(stage: &Stage) {
    let admin = secret(stage, "harbour-postgres-admin").await;
    if let Some(next) = admin["next-id"].as_str() {
        annotate::<Pod>(stage, "harbour-postgres-0", "rates.internal/next-login", next).await;
    }
    let login = stage.field(
        "deployment/harbour-api",
        r"{.spec.template.metadata.annotations.rates\.internal/login}",
    );
    let name = format!("harbour-api-{login}");
    if !login.is_empty() && !stage.exists::<Pod>(&name).await {
        stage.api_pod(&name).await;
        annotate::<Pod>(stage, &name, "rates.internal/login", &login).await;
        let now = DeleteParams::default().grace_period(0);
        for pod in stage.names::<Pod>().await {
            if pod.starts_with("harbour-api-") && pod != name {
                stage.api::<Pod>().delete(&pod, &now).await.unwrap();
            }
        }
    }
    others_work(stage).await;
}

#[tokio::test]
async fn a_password_is_changed_once_whatever_write_kills_the_operator() {
    let server = server::shared();
    let mut stage = Stage::new(server, "killed-password").await;
    stage
        .until_ready(&json!({"database": {"seed": {"bundled": {}}}}))
        .await;
    stage.api_pod("harbour-api-old").await;
    let logins = std::cell::RefCell::new(vec![secret(&stage, "harbour-postgres").await]);
    let rotation = async |stage: &Stage| secret(stage, "harbour-postgres-admin").await["rotation"].clone();
    let rotations = std::cell::RefCell::new(Vec::new());
    Box::pin(kill_at_every_write(
        &mut stage,
        async |stage, number| {
            let before = rotation(stage).await;
            rotations.borrow_mut().push(before);
            ask(stage, &format!("number-{number}")).await;
        },
        async |stage| {
            logins_change(stage).await;
            let now = secret(stage, "harbour-postgres").await;
            let mut logins = logins.borrow_mut();
            if logins.last() != Some(&now) {
                logins.push(now);
            }
        },
        async |stage, _| {
            let admin = secret(stage, "harbour-postgres-admin").await;
            let app = secret(stage, "harbour-postgres").await;
            rotations.borrow().last() != Some(&admin["rotation"])
                && admin.get("next-password").is_none()
                && admin["retired-username"] != app["username"]
                && stage
                    .field("renv/harbour", "{.status.database.rotation}")
                    .is_empty()
                && phase(stage) == "Ready"
        },
    ))
    .await;
    let logins = logins.into_inner();
    assert_eq!(
        logins.len() - 1,
        rotations.into_inner().len(),
        "one new password for each rotation"
    );
    for pair in logins.windows(2) {
        assert_ne!(pair[0]["username"], pair[1]["username"], "the logins take turns");
        assert_ne!(pair[0]["password"], pair[1]["password"]);
    }
}

#[tokio::test]
async fn what_runs_is_known_although_the_operator_died_before_it_wrote_the_status() {
    let server = server::shared();
    let mut stage = Stage::new(server, "killed-between").await;
    stage.until_ready(&with_image("api:one")).await;
    stage.specify(&with_image("api:two"));
    stage.settle().await;
    let report = json!({"outcome": "succeeded", "schemaVersion": 1, "applied": []});
    stage.job_ends("migrate", "migrate", "Succeeded", &report).await;
    stage.dies_with_write(1);
    assert!(!stage.lives_through_a_reconcile().await);
    assert_eq!(image(&stage), "api:two", "written, and nobody knows");
    stage.restart().await;
    // Migrations come first; what ran until now goes on running.
    stage.specify(&with_image("api:three"));
    stage.settle().await;
    assert_eq!(stage.condition("Migrated").1, "Migrating");
    assert_eq!(image(&stage), "api:two");
}
