//! What runs next, by what Jobs and pods reported; and what the status says of it.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, Pod};
use rates_operator::apply::Applied;
use rates_operator::build::build;
use rates_operator::crd::{Phase, RatesEnvironmentStatus};
use rates_operator::observed::{Dump, Observed};
use rates_operator::plan::{Blocked, Environment, JobRun, Migration, Seeding};
use rates_operator::status;
use serde_json::{Value, json};

use crate::fixture::{self, said};

const BUNDLED: &str = include_str!("fixtures/bundled.yaml");
const SEEDING: &str = include_str!("fixtures/seeding.yaml");

/// An environment whose seed Job exists, with a pod that ended as `containers` say.
struct Seeded {
    observed: Observed,
    job: String,
}

impl Seeded {
    fn new(yaml: &str, attempt: u32) -> Self {
        let mut observed = fixture::observed(yaml);
        let Seeding::Run { run, .. } = fixture::environment(&observed).seeding else {
            panic!("the fixture is to be seeded");
        };
        let job = observed.identity.seed_job(&run.hash);
        let value = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": job, "uid": "job-1", "annotations": {"rates.internal/attempt": attempt.to_string()}},
        });
        observed.jobs.push(serde_json::from_value::<Job>(value).unwrap());
        Self { observed, job }
    }

    /// A pod of the Job, whose containers ended with a message each.
    fn pod(mut self, phase: &str, init: &[(&str, &Value)], main: &[(&str, &Value)]) -> Self {
        let ended = |containers: &[(&str, &Value)]| -> Vec<Value> {
            let ended = |(name, message): &(&str, &Value)| {
                json!({
                    "name": name, "ready": false, "image": "", "imageID": "", "restartCount": 0,
                    "state": {"terminated": {
                        "exitCode": 1, "message": message.to_string(),
                        "startedAt": "2031-03-04T05:06:00Z", "finishedAt": "2031-03-04T05:06:05Z",
                    }},
                })
            };
            containers.iter().map(ended).collect()
        };
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "attempt",
                "labels": {"app.kubernetes.io/component": "seed", "batch.kubernetes.io/job-name": self.job},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": self.job, "uid": "job-1"}],
            },
            "status": {"phase": phase, "initContainerStatuses": ended(init), "containerStatuses": ended(main)},
        });
        self.observed
            .pods
            .push(serde_json::from_value::<Pod>(pod).unwrap());
        self
    }

    /// A pod of the Job whose containers load and publish run together; `None` is one that runs, else its exit code and message.
    fn together(mut self, load: Option<(i32, &Value)>, publish: Option<(i32, &Value)>) -> Self {
        let status = |name: &str, end: Option<(i32, &Value)>| {
            let state = match end {
                None => json!({"running": {"startedAt": "2031-03-04T05:06:00Z"}}),
                Some((code, message)) => json!({"terminated": {
                    "exitCode": code, "message": message.to_string(),
                    "startedAt": "2031-03-04T05:06:00Z", "finishedAt": "2031-03-04T05:06:05Z",
                }}),
            };
            json!({"name": name, "ready": false, "image": "", "imageID": "", "restartCount": 0, "state": state})
        };
        self = self.pod("Running", &[], &[]);
        let statuses = json!([status("load", load), status("publish", publish)]);
        let pod = self.observed.pods.last_mut().unwrap().status.as_mut().unwrap();
        pod.container_statuses = serde_json::from_value(statuses).unwrap();
        self
    }

    /// The database's pod, its server running since `since`.
    fn database(mut self, since: &str) -> Self {
        let name = self.observed.identity.postgres_pod(0);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {
                "app.kubernetes.io/component": "postgres", "rates.internal/role": "primary",
            }},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{
                    "name": "postgres", "ready": true, "image": "", "imageID": "", "restartCount": 0,
                    "state": {"running": {"startedAt": since}},
                }],
            },
        });
        self.observed
            .pods
            .push(serde_json::from_value::<Pod>(pod).unwrap());
        self
    }

    fn environment(&self) -> Environment {
        fixture::environment(&self.observed)
    }

    fn run(&self) -> JobRun {
        match self.environment().seeding {
            Seeding::Run { run, .. } => run,
            other => panic!("expected another attempt, got {other:?}"),
        }
    }

    fn status(&self) -> RatesEnvironmentStatus {
        status::status(
            &self.environment(),
            &self.observed,
            &Applied::default(),
            None,
            fixture::now(),
        )
    }
}

fn failed(message: &str) -> Value {
    json!({"outcome": "failed", "message": message})
}

#[test]
fn a_pods_report_of_success_counts_before_its_job_is_complete() {
    let report = json!({"outcome": "succeeded", "source": "bundled", "checksum": "sha256:00", "rows": 7, "seconds": 1.5, "schemaVersion": 4, "alreadySeeded": false});
    let seeded = Seeded::new(BUNDLED, 1).pod("Succeeded", &[], &[("publish", &report)]);
    let environment = seeded.environment();
    let Seeding::Done(seed) = &environment.seeding else {
        panic!("{:?}", environment.seeding)
    };
    assert_eq!(
        (seed.source.as_str(), seed.rows, seed.checksum.as_deref()),
        ("bundled", 7, Some("sha256:00"))
    );
    let status = seeded.status();
    assert_eq!(
        said(&status, "Seeded"),
        ("True", "Loaded", "bundled: 7 prices in 1.5 s")
    );
    assert_eq!(
        said(&status, "Migrated"),
        ("True", "Migrated", "version 4, by registry.example/api:branch"),
        "publishing migrates before it gives the database its name"
    );
}

#[test]
fn a_database_that_an_earlier_attempt_published_waits_for_its_migrate_job() {
    let report = json!({"outcome": "succeeded", "source": "bundled", "rows": 7, "seconds": 1.5, "schemaVersion": 4, "alreadySeeded": true});
    let seeded = Seeded::new(BUNDLED, 2).pod("Succeeded", &[], &[("publish", &report)]);
    let environment = seeded.environment();
    assert!(matches!(environment.seeding, Seeding::Done(_)));
    assert!(matches!(environment.migration, Migration::Run(_)));
}

#[test]
fn an_image_whose_report_names_no_schema_waits_for_its_migrate_job() {
    let report = json!({"outcome": "succeeded", "source": "bundled", "rows": 7, "seconds": 1.5});
    let seeded = Seeded::new(BUNDLED, 1).pod("Succeeded", &[], &[("publish", &report)]);
    assert!(matches!(seeded.environment().migration, Migration::Run(_)));
}

#[test]
fn the_seeds_report_stands_for_no_image_but_the_first() {
    let report = json!({"outcome": "succeeded", "source": "bundled", "rows": 7, "seconds": 1.5, "schemaVersion": 4, "alreadySeeded": false});
    let mut seeded = Seeded::new(BUNDLED, 1).pod("Succeeded", &[], &[("publish", &report)]);
    seeded.observed.environment.status = Some(seeded.status());
    assert!(matches!(seeded.environment().migration, Migration::Done(_)));

    seeded.observed.environment.spec.api.image = Some("registry.example/api:other".to_owned());
    assert!(matches!(seeded.environment().migration, Migration::Run(_)));

    // Back again, after the other image migrated: the Job and its pod may still be there.
    let database = seeded
        .observed
        .environment
        .status
        .as_mut()
        .unwrap()
        .database
        .as_mut();
    "registry.example/api:other".clone_into(&mut database.unwrap().schema.as_mut().unwrap().image);
    seeded.observed.environment.spec.api.image = Some("registry.example/api:branch".to_owned());
    assert!(matches!(seeded.environment().migration, Migration::Run(_)));
}

#[test]
fn a_dump_that_cannot_be_loaded_is_told_in_psqls_words_and_not_tried_again() {
    let psql = failed("psql:<stdin>:3: ERROR:  relation \"prices\" does not exist");
    let seeded = Seeded::new(SEEDING, 1)
        .pod("Failed", &[("load", &psql)], &[])
        .database("2031-03-04T05:00:00Z");
    assert!(matches!(seeded.environment().seeding, Seeding::Failed { .. }));
    let status = seeded.status();
    let (holds, reason, message) = said(&status, "Seeded");
    assert_eq!((holds, reason), ("False", "SeedFailed"));
    assert!(message.contains("relation \"prices\" does not exist"));
    assert_eq!(status.phase, Some(Phase::Degraded));
    assert_eq!(said(&status, "Ready").0, "False");
}

#[test]
fn other_content_of_the_config_map_is_tried_at_once() {
    let psql = failed("psql:<stdin>:3: ERROR");
    let mut seeded = Seeded::new(SEEDING, 1)
        .pod("Failed", &[("load", &psql)], &[])
        .database("2031-03-04T05:00:00Z");
    seeded.observed.dump = Dump::Found {
        digest: "digest-of-june".to_owned(),
    };
    let run = seeded.run();
    assert_eq!((run.attempt, run.not_before, run.failure), (1, None, None));
    assert_ne!(seeded.observed.identity.seed_job(&run.hash), seeded.job);
}

#[test]
fn a_load_during_which_the_server_restarted_says_nothing_about_the_dump() {
    let psql = failed("server closed the connection unexpectedly");
    let seeded = Seeded::new(SEEDING, 1)
        .pod("Failed", &[("load", &psql)], &[])
        .database("2031-03-04T05:06:04Z");
    let run = seeded.run();
    assert_eq!((run.attempt, run.replaces.as_deref()), (2, Some("job-1")));
    let without_server = Seeded::new(SEEDING, 1).pod("Failed", &[("load", &psql)], &[]);
    assert_eq!(without_server.run().attempt, 2);
}

#[test]
fn a_lost_pod_is_replaced_at_once_and_then_after_growing_pauses() {
    let ended = json!("killed");
    let lost = |attempt| {
        Seeded::new(BUNDLED, attempt)
            .pod("Failed", &[], &[("publish", &ended)])
            .run()
    };
    let first = lost(1);
    assert_eq!(
        (first.attempt, first.replaces.as_deref(), first.not_before),
        (2, Some("job-1"), None)
    );
    // Ended at 05:06:05; now it is 05:06:07.
    let third = lost(3);
    assert_eq!((third.attempt, third.not_before), (4, None));
    let sixth = lost(6);
    assert_eq!(sixth.not_before, Some("2031-03-04T05:06:21Z".parse().unwrap()));
    assert_eq!(sixth.replaces, None, "the lost one stays until then");
    let fiftieth = lost(50);
    assert_eq!(fiftieth.not_before, Some("2031-03-04T05:07:09Z".parse().unwrap()));
}

#[test]
fn what_fails_after_the_load_is_tried_again_with_its_message_shown() {
    let report = failed("the database went away");
    let seeded = Seeded::new(BUNDLED, 4)
        .pod("Failed", &[], &[("publish", &report)])
        .database("2031-03-04T05:00:00Z");
    let status = seeded.status();
    let (_, reason, message) = said(&status, "Seeded");
    assert_eq!(reason, "Retrying");
    assert!(
        message.contains("attempt 5") && message.contains("the database went away"),
        "{message}"
    );
}

#[test]
fn a_missing_config_map_or_key_is_told_with_what_to_do() {
    let mut observed = fixture::observed(SEEDING);
    observed.dump = Dump::NoConfigMap;
    let Seeding::Blocked(Blocked { message, .. }) = fixture::environment(&observed).seeding else {
        panic!()
    };
    assert_eq!(
        message,
        "there is no ConfigMap manifest-of-may in namespace moorings: create it, or correct spec.database.seed.configMap.name"
    );
    observed.dump = Dump::NoKey(["june.sql".to_owned()].into());
    let Seeding::Blocked(Blocked { message, .. }) = fixture::environment(&observed).seeding else {
        panic!()
    };
    assert!(
        message.starts_with("ConfigMap manifest-of-may has no key \"may.sql.gz\", but: june.sql;"),
        "{message}"
    );
}

#[test]
fn a_volume_that_was_replaced_is_seeded_anew() {
    let mut observed = fixture::observed(include_str!("fixtures/migrating.yaml"));
    assert!(matches!(
        fixture::environment(&observed).seeding,
        Seeding::Done(_)
    ));
    observed.claims[0].metadata.uid = Some("another".to_owned());
    let environment = fixture::environment(&observed);
    assert!(
        matches!(environment.seeding, Seeding::Waiting(_)),
        "nothing asks the old server"
    );
    let stateful_set = build(&environment).stateful_set.spec.unwrap();
    assert_eq!(
        stateful_set.replicas,
        Some(0),
        "nothing of the old life is left running"
    );

    let status = observed.environment.status.as_mut().unwrap();
    let storage = status.database.as_mut().unwrap().storage.as_mut().unwrap();
    storage.claim_uid = Some("another".to_owned());
    let environment = fixture::environment(&observed);
    assert!(matches!(environment.seeding, Seeding::Run { .. }));
    assert!(
        matches!(environment.migration, Migration::Waiting),
        "what was migrated is gone with the volume"
    );
}

#[test]
fn a_missing_claim_is_told_with_what_to_do() {
    let from_claim = SEEDING.replace(
        "configMap: {name: manifest-of-may, key: may.sql.gz}",
        "persistentVolumeClaim: {claimName: hold-of-the-tanker, path: may.sql}",
    );
    let mut observed = fixture::observed(&from_claim);
    assert!(matches!(
        fixture::environment(&observed).seeding,
        Seeding::Run { .. }
    ));
    observed.dump = Dump::NotPermitted("persistentvolumeclaims is forbidden".to_owned());
    assert!(matches!(
        fixture::environment(&observed).seeding,
        Seeding::Blocked(Blocked { message: words, .. }) if words.ends_with(": persistentvolumeclaims is forbidden")
    ));
    observed.dump = Dump::NoClaim;
    let Seeding::Blocked(Blocked { message, .. }) = fixture::environment(&observed).seeding else {
        panic!()
    };
    assert!(
        message.starts_with(
            "there is no PersistentVolumeClaim hold-of-the-tanker in namespace moorings: create it"
        ),
        "{message}"
    );
}

#[test]
fn a_load_that_fails_is_told_whatever_publishing_beside_it_says_and_when() {
    let psql = failed("psql:<stdin>:3: ERROR:  relation \"prices\" does not exist");
    let skipped = json!({"outcome": "skipped", "message": "the load did not come to a good end; its container says why"});
    let of = |load, publish| {
        let seeded = Seeded::new(SEEDING, 1).together(load, publish);
        seeded.database("2031-03-04T05:00:00Z")
    };

    // The kubelet may see the second end before the first.
    let early = of(None, Some((1, &skipped)));
    assert_eq!(early.run().attempt, 1, "still the same one");

    for publish in [None, Some((1, &skipped))] {
        let seeded = of(Some((1, &psql)), publish);
        assert!(matches!(seeded.environment().seeding, Seeding::Failed { .. }));
        let status = seeded.status();
        let (_, reason, message) = said(&status, "Seeded");
        assert_eq!(reason, "SeedFailed");
        assert!(
            message.contains("relation \"prices\" does not exist"),
            "{message}"
        );
    }
}

#[test]
fn a_load_that_is_killed_is_lost_and_publishing_beside_it_says_nothing_of_it() {
    let skipped = json!({"outcome": "skipped", "message": "the load did not come to a good end; its container says why"});
    let killed = Seeded::new(BUNDLED, 1).together(Some((137, &json!(""))), Some((1, &skipped)));
    let run = killed.run();
    assert_eq!(
        (run.attempt, run.replaces.as_deref(), run.failure),
        (2, Some("job-1"), None)
    );
}

#[test]
fn what_publishing_reports_counts_before_the_load_is_seen_to_have_ended() {
    let report = json!({"outcome": "succeeded", "source": "bundled", "rows": 7, "seconds": 1.5, "schemaVersion": 4, "alreadySeeded": false});
    let seeded = Seeded::new(BUNDLED, 1).together(None, Some((0, &report)));
    assert!(matches!(seeded.environment().seeding, Seeding::Done(_)));
}

#[test]
fn the_message_says_publishing_once_the_load_has_ended() {
    let message = |load| {
        let seeded = Seeded::new(SEEDING, 1).together(load, None);
        let seeded = seeded.database("2031-03-04T05:00:00Z");
        said(&seeded.status(), "Seeded").2.to_owned()
    };
    let loading = message(None);
    assert!(
        loading.starts_with("loading ") && !loading.contains(": "),
        "{loading}"
    );
    let publishing = message(Some((0, &json!(""))));
    assert!(publishing.ends_with(": publishing"), "{publishing}");
}

#[test]
fn an_image_that_cannot_wait_for_the_load_gets_a_pod_whose_containers_follow_each_other() {
    let names = |containers: Option<&Vec<Container>>| -> Vec<String> {
        let containers = containers.into_iter().flatten();
        containers.map(|container| container.name.clone()).collect()
    };
    let shape = |observed: &Observed| {
        let environment = fixture::environment(observed);
        let job = build(&environment).seed_job.unwrap().job;
        let pod = job.spec.unwrap().template.spec.unwrap();
        let args = pod.containers.last().unwrap().args.clone().unwrap();
        (
            names(pod.init_containers.as_ref()),
            names(Some(&pod.containers)),
            args,
        )
    };
    let together = shape(&fixture::observed(BUNDLED));
    assert_eq!(together.0, ["dump"]);
    assert_eq!(together.1, ["load", "publish"]);
    assert_eq!(together.2.last().unwrap(), "/steps/load");

    // The attempt after one whose API knows no `--after`, which is told before the load has ended.
    let usage = json!("error: unexpected argument '--after' found");
    let seeded = Seeded::new(BUNDLED, 1).together(None, Some((2, &usage)));
    assert_eq!(seeded.run().attempt, 2);
    let turn = shape(&seeded.observed);
    assert_eq!(
        (turn.0, turn.1),
        (
            vec!["dump".to_owned(), "load".to_owned()],
            vec!["publish".to_owned()]
        )
    );
    assert_eq!(turn.2, ["publish", "--attempt", "$(POD_UID)"]);

    // A database's image of its own may be of any release.
    let mut own = fixture::observed(BUNDLED);
    own.environment.spec.database.image = Some("registry.example/postgres:own".to_owned());
    assert_eq!(shape(&own).1, ["publish"]);
}

/// A container of a mesh, which does not end by itself.
fn beside(seeded: &mut Seeded) {
    let proxy = json!({
        "name": "a-proxy", "ready": true, "image": "", "imageID": "", "restartCount": 0,
        "state": {"running": {"startedAt": "2031-03-04T05:06:00Z"}},
    });
    let status = seeded.observed.pods[0].status.as_mut().unwrap();
    let containers = status.container_statuses.as_mut().unwrap();
    // The kubelet sorts them by name.
    containers.insert(0, serde_json::from_value(proxy).unwrap());
}

#[test]
fn a_job_whose_pod_a_proxy_keeps_running_is_judged_by_our_own_containers() {
    let report = json!({"outcome": "succeeded", "source": "bundled", "rows": 7, "seconds": 1.5, "schemaVersion": 4, "alreadySeeded": false});
    let mut seeded = Seeded::new(BUNDLED, 1).pod("Running", &[], &[("publish", &report)]);
    beside(&mut seeded);
    assert!(matches!(seeded.environment().seeding, Seeding::Done(_)));
    assert!(matches!(seeded.environment().migration, Migration::Done(_)));

    let psql = failed("psql:<stdin>:3: ERROR:  relation \"prices\" does not exist");
    let mut failing = Seeded::new(BUNDLED, 1)
        .pod("Running", &[("load", &psql)], &[])
        .database("2031-03-04T05:00:00Z");
    beside(&mut failing);
    assert!(matches!(failing.environment().seeding, Seeding::Failed { .. }));

    let killed = json!("killed");
    let mut lost = Seeded::new(BUNDLED, 1).pod("Running", &[], &[("publish", &killed)]);
    beside(&mut lost);
    assert_eq!(lost.run().attempt, 2);
}
