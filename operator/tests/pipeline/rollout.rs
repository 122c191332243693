//! What becomes of a rollout that does not work: held with its reason, or taken back.

use k8s_openapi::api::core::v1::Pod;
use rates_operator::apply::Applied;
use rates_operator::build::build;
use rates_operator::crd::{ApiStatus, FailedRollout, OnFailure, Phase, RatesEnvironmentStatus, Revision};
use rates_operator::observed::Observed;
use rates_operator::plan::Migration;
use rates_operator::status;
use serde_json::{Value, json};

use crate::fixture;

const NEW: &str = "registry.example/api:of-its-creation";

fn revision(image: &str) -> Revision {
    Revision {
        image: image.to_owned(),
        ..Revision::default()
    }
}

/// An environment whose Deployment is given a new image after an old one that worked.
struct Rolling(Observed);

impl Rolling {
    fn new(on_failure: OnFailure) -> Self {
        let mut observed = fixture::observed(include_str!("fixtures/running.yaml"));
        observed.environment.spec.api.rollout.on_failure = on_failure;
        let status = observed.environment.status.as_mut().unwrap();
        let api = status.api.as_mut().unwrap();
        api.revision = Some(revision("registry.example/api:old"));
        api.last_complete_revision = Some(revision("registry.example/api:old"));
        let mut rolling = Self(observed);
        rolling.pod(
            "lighthouse-postgres-0",
            &json!({"app.kubernetes.io/component": "postgres", "rates.internal/role": "primary"}),
            &json!({}),
            &json!({"name": "postgres", "ready": true}),
        );
        let template = build(&fixture::environment(&rolling.0))
            .deployment("lighthouse-api")
            .cloned()
            .unwrap();
        rolling.0.deployments.push(template);
        rolling
    }

    fn pod(&mut self, name: &str, labels: &Value, annotations: &Value, container: &Value) {
        let mut state = json!({"image": "any", "imageID": "", "ready": false, "restartCount": 0});
        state
            .as_object_mut()
            .unwrap()
            .extend(container.as_object().unwrap().clone());
        let ready = if state["ready"] == true { "True" } else { "False" };
        let pod = json!({
            "metadata": {"name": name, "labels": labels, "annotations": annotations},
            "status": {"phase": "Running", "containerStatuses": [state], "conditions": [{"type": "Ready", "status": ready}]},
        });
        self.0.pods.push(serde_json::from_value::<Pod>(pod).unwrap());
    }

    /// A pod of the API, made of what the Deployment's template says.
    fn new_pod(mut self, container: &Value) -> Self {
        let template = self.0.deployments[0].spec.as_ref().unwrap().template.clone();
        let annotations = json!(template.metadata.unwrap().annotations);
        let mut named = json!({"name": "api"});
        named
            .as_object_mut()
            .unwrap()
            .extend(container.as_object().unwrap().clone());
        let labels = json!({"app.kubernetes.io/component": "api"});
        self.pod("a-new-pod", &labels, &annotations, &named);
        self
    }

    fn crashing(self) -> Self {
        self.new_pod(&json!({
            "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 3, "message": "error: no such flag"}},
        }))
    }

    /// What the Deployment says: `updated` of 3 pods, with its own word on the rollout.
    fn counted(mut self, updated: i32, reason: &str) -> Self {
        self.0.deployments[0].metadata.generation = Some(4);
        self.0.deployments[0].status = serde_json::from_value(json!({
            "observedGeneration": 4, "replicas": 3, "updatedReplicas": updated, "readyReplicas": 3,
            "availableReplicas": 3, "conditions": [{"type": "Progressing", "status": "True", "reason": reason}],
        }))
        .unwrap();
        let spec = self.0.deployments[0].spec.as_mut().unwrap();
        spec.replicas = Some(3);
        self
    }

    fn image(&self) -> String {
        let deployment = build(&fixture::environment(&self.0))
            .deployment("lighthouse-api")
            .cloned()
            .unwrap();
        let pod = deployment.spec.unwrap().template.spec.unwrap();
        pod.containers[0].image.clone().unwrap()
    }

    fn status(&self) -> RatesEnvironmentStatus {
        let applied = Applied {
            deployments: self.0.deployments.clone(),
            claims: self.0.claims.clone(),
            ..Applied::default()
        };
        let environment = fixture::environment(&self.0);
        status::status(&environment, &self.0, &applied, None, fixture::now())
    }

    fn api_status(&mut self) -> &mut ApiStatus {
        let status = self.0.environment.status.as_mut().unwrap();
        status.api.as_mut().unwrap()
    }
}

fn said(status: &RatesEnvironmentStatus, kind: &str) -> (String, String, String) {
    let (holds, reason, message) = fixture::said(status, kind);
    (holds.to_owned(), reason.to_owned(), message.to_owned())
}

#[test]
fn one_that_crashes_is_held_and_told_while_the_old_pods_serve() {
    let rolling = Rolling::new(OnFailure::Hold)
        .crashing()
        .counted(1, "ReplicaSetUpdated");
    assert_eq!(rolling.image(), NEW);
    let status = rolling.status();
    let (holds, reason, message) = said(&status, "Progressing");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "CrashLoop"));
    assert!(message.ends_with("exit code 3: error: no such flag"), "{message}");
    assert_eq!(said(&status, "Ready").0, "True");
    assert_eq!(status.phase, Some(Phase::Degraded));
    assert_eq!(
        status.api.unwrap().last_complete_revision.unwrap().image,
        "registry.example/api:old"
    );
}

#[test]
fn one_that_crashes_is_taken_back_where_that_is_asked_for() {
    let mut rolling = Rolling::new(OnFailure::RollBack)
        .crashing()
        .counted(1, "ReplicaSetUpdated");
    assert_eq!(rolling.image(), "registry.example/api:old");
    let status = rolling.status();
    let (holds, reason, message) = said(&status, "Progressing");
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "RolledBack"));
    assert!(
        message.starts_with(&format!(
            "{NEW} does not work and registry.example/api:old was put back, until spec.api changes; CrashLoop: a-new-pod"
        )),
        "{message}"
    );
    assert_eq!(said(&status, "Ready").0, "True");
    assert_eq!(status.phase, Some(Phase::Degraded));
    let failed = status.api.as_ref().unwrap().failed_rollout.clone().unwrap();
    assert_eq!(failed.reason, "CrashLoop");

    // Its pods go, and it is not tried again for that.
    rolling
        .0
        .pods
        .retain(|pod| pod.metadata.name.as_deref() != Some("a-new-pod"));
    rolling.api_status().failed_rollout = Some(failed);
    rolling = rolling.counted(3, "NewReplicaSetAvailable");
    assert_eq!(rolling.image(), "registry.example/api:old");
    assert_eq!(said(&rolling.status(), "Progressing").1, "RolledBack");

    // Another specification is tried, and so is the same one where nothing is to be taken back.
    rolling.0.environment.spec.api.config.max_batches = Some(5);
    assert_eq!(rolling.image(), NEW);
    rolling.0.environment.spec.api.config.max_batches = None;
    rolling.0.environment.spec.api.rollout.on_failure = OnFailure::Hold;
    assert_eq!(rolling.image(), NEW);
}

#[test]
fn a_config_is_taken_back_like_an_image() {
    let mut rolling = Rolling::new(OnFailure::RollBack);
    rolling.api_status().last_complete_revision = Some(revision(NEW));
    rolling.0.environment.spec.api.config.max_batches = Some(64);
    rolling.0.deployments[0] = build(&fixture::environment(&rolling.0))
        .deployment("lighthouse-api")
        .cloned()
        .unwrap();
    let rolling = rolling.crashing().counted(1, "ReplicaSetUpdated");
    let deployment =
        serde_json::to_value(build(&fixture::environment(&rolling.0)).deployment("lighthouse-api")).unwrap();
    assert!(!deployment.to_string().contains("RATES_MAX_BATCHES"));
    let (_, reason, message) = said(&rolling.status(), "Progressing");
    assert_eq!(reason, "RolledBack");
    assert!(
        message.starts_with("the new config, env or resources"),
        "{message}"
    );
}

#[test]
fn one_that_is_stuck_is_taken_back() {
    let rolling = Rolling::new(OnFailure::RollBack).counted(1, "ProgressDeadlineExceeded");
    assert_eq!(rolling.image(), "registry.example/api:old");
    let failed: FailedRollout = rolling.status().api.unwrap().failed_rollout.unwrap();
    assert_eq!(failed.reason, "RolloutStuck");
}

#[test]
fn nothing_is_taken_back_without_a_database_or_for_an_old_pod() {
    let mut rolling = Rolling::new(OnFailure::RollBack)
        .crashing()
        .counted(1, "ReplicaSetUpdated");
    let database = rolling.0.pods.remove(0);
    assert_eq!(rolling.image(), NEW, "no pod works without a database");
    rolling.0.pods.push(database);
    assert_ne!(rolling.image(), NEW);
    for pod in &mut rolling.0.pods {
        pod.metadata.annotations = None;
    }
    assert_eq!(rolling.image(), NEW, "the pod is not of the new revision");
}

#[test]
fn what_ran_completely_is_noted_to_go_back_to() {
    let rolling = Rolling::new(OnFailure::RollBack).counted(3, "NewReplicaSetAvailable");
    let api = rolling.status().api.unwrap();
    assert_eq!(api.last_complete_revision, Some(revision(NEW)));
    assert_eq!(api.revision, Some(revision(NEW)));
}

#[test]
fn one_that_hangs_at_its_start_is_told_after_a_while() {
    let running = |since: &str, started: bool| {
        let container = json!({"started": started, "state": {"running": {"startedAt": since}}});
        let rolling = Rolling::new(OnFailure::Hold)
            .new_pod(&container)
            .counted(1, "ReplicaSetUpdated");
        said(&rolling.status(), "Progressing")
    };
    // It is 05:06:07.
    assert_eq!(running("2031-03-04T05:05:53Z", false).1, "RollingOut");
    let (holds, reason, message) = running("2031-03-04T05:05:52Z", false);
    assert_eq!((holds.as_str(), reason.as_str()), ("False", "NotReady"));
    assert_eq!(
        message,
        "api: a-new-pod runs for more than 15 s and it does not answer GET /healthz: look at its log"
    );
    let (_, reason, message) = running("2031-03-04T05:05:52Z", true);
    assert_eq!(reason, "NotReady");
    assert!(
        message.contains("GET /readyz says that it cannot serve"),
        "{message}"
    );
}

#[test]
fn while_the_tables_are_not_ready_for_it_all_of_the_old_revision_stays() {
    let mut rolling = Rolling::new(OnFailure::Hold);
    rolling.0.environment.spec.api.image = Some("registry.example/api:next".to_owned());
    rolling.0.environment.spec.api.config.max_batches = Some(9);
    // What the Deployment was given, whatever the status says: that may not have been written.
    assert_eq!(rolling.image(), NEW);
    let deployment =
        serde_json::to_value(build(&fixture::environment(&rolling.0)).deployment("lighthouse-api")).unwrap();
    assert!(!deployment.to_string().contains("RATES_MAX_BATCHES"));
}

/// That an image cannot be pulled.
fn unpulled() -> Value {
    json!({"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}})
}

/// Since when the newest pod has had its node; it is 05:06:07.
fn placed(mut rolling: Rolling, since: &str) -> Rolling {
    let pod = rolling.0.pods.last_mut().unwrap();
    pod.status.as_mut().unwrap().start_time = Some(serde_json::from_value(json!(since)).unwrap());
    rolling
}

#[test]
fn a_pull_that_failed_takes_nothing_back_until_it_lasts() {
    let rolling = |since: &str| {
        let rolling = Rolling::new(OnFailure::RollBack).new_pod(&unpulled());
        placed(rolling.counted(1, "ReplicaSetUpdated"), since)
    };
    let first = rolling("2031-03-04T05:06:05Z");
    assert_eq!(first.image(), NEW);
    assert_eq!(
        said(&first.status(), "Progressing").1,
        "ImagePullFailed",
        "it is told"
    );
    assert_eq!(rolling("2031-03-04T05:04:08Z").image(), NEW);
    assert_eq!(
        rolling("2031-03-04T05:04:07Z").image(),
        "registry.example/api:old"
    );
}

#[test]
fn an_image_that_cannot_be_pulled_for_its_migrations_is_taken_back_alike() {
    const MISSING: &str = "registry.example/api:missing";
    let rolling = |since: &str, on_failure| {
        let mut rolling = Rolling::new(on_failure);
        rolling.0.environment.spec.api.image = Some(MISSING.to_owned());
        let Migration::Run(run) = fixture::environment(&rolling.0).migration else {
            panic!("its tables are to be migrated");
        };
        let job = rolling.0.identity.migrate_job(&run.hash);
        let labels = json!({"app.kubernetes.io/component": "migrate", "batch.kubernetes.io/job-name": job});
        let mut container = unpulled();
        container["name"] = json!("migrate");
        rolling.pod("a-migration", &labels, &json!({}), &container);
        let object = json!({"metadata": {"name": job, "uid": "job-1"}});
        rolling.0.jobs.push(serde_json::from_value(object).unwrap());
        placed(rolling, since)
    };
    let long_ago = "2031-03-04T05:04:07Z";
    for waiting in [
        rolling("2031-03-04T05:04:08Z", OnFailure::RollBack),
        rolling(long_ago, OnFailure::Hold),
    ] {
        assert!(matches!(
            fixture::environment(&waiting.0).migration,
            Migration::Run(_)
        ));
        assert_eq!(said(&waiting.status(), "Progressing").1, "ImagePullFailed");
    }
    let mut back = rolling(long_ago, OnFailure::RollBack);
    let steady = |back: &Rolling| {
        let environment = fixture::environment(&back.0);
        assert!(
            matches!(environment.migration, Migration::Done(_)),
            "its Job goes"
        );
        assert_eq!(back.image(), "registry.example/api:old");
        let status = back.status();
        let (_, reason, message) = said(&status, "Progressing");
        assert_eq!(reason, "RolledBack");
        assert!(
            message.starts_with(&format!("{MISSING} does not work"))
                && message.ends_with("cannot be pulled: not found"),
            "{message}"
        );
        assert_eq!(said(&status, "Migrated").0, "True");
        status.api.unwrap().failed_rollout
    };
    let failed = steady(&back);
    back.api_status().failed_rollout = failed;
    back.0.pods.pop();
    back.0.jobs.clear();
    steady(&back);
}
