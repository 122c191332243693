//! Copies of an environment's data: consent, the login, and what stops a copy.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use rates_operator::crd::RatesEnvironment;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::controlling::until;
use crate::server;
use crate::stage::{NAME, Stage};

pub const SOURCE: &str = "origin";

pub fn shared_with(namespaces: &[&str]) -> Value {
    json!([{"namespaces": namespaces, "sample": 10, "mask": {"prices": {"noise": 20}}}])
}

pub fn source_spec(sharing: &Value) -> Value {
    json!({"database": {"seed": {"bundled": {}}}, "sharing": sharing})
}

pub fn copy_of(source: &Stage) -> Value {
    json!({"database": {"seed": {"environment": {"name": source.name, "namespace": source.namespace}}}})
}

/// A source that is ready, and an environment in another namespace that copies it. Each has an operator of its own,
/// which sees both.
pub async fn pair(namespace: &str, sharing: &[&str]) -> (Stage, Stage) {
    let server = server::shared();
    let source = Stage::everywhere(server, &format!("{namespace}-of"), SOURCE).await;
    let reader = Stage::everywhere(server, namespace, NAME).await;
    source.until_ready(&source_spec(&shared_with(sharing))).await;
    reader.specify(&copy_of(&source));
    reader.sees(&source).await;
    reader.settle().await;
    (source, reader)
}

/// One reconcile of a stage that has seen the other one.
pub async fn step(stage: &Stage, other: &Stage) -> Vec<String> {
    stage.sees(other).await;
    stage.reconcile().await
}

pub fn seeded(reader: &Stage) -> (String, String) {
    let (_, reason, message) = reader.condition("Seeded");
    (reason, message)
}

async fn copies_key(source: &Stage) -> Option<Value> {
    let secret = source.api::<Secret>().get("origin-postgres-admin").await.unwrap();
    let key = secret.data.unwrap().remove("copies")?;
    Some(serde_json::from_slice(&key.0).unwrap())
}

fn text(secret: &Secret, key: &str) -> String {
    String::from_utf8(secret.data.as_ref().unwrap()[key].0.clone()).unwrap()
}

fn seed_pods() -> ListParams {
    ListParams::default().labels("app.kubernetes.io/component=seed")
}

pub fn copied() -> Value {
    json!({
        "outcome": "succeeded", "source": "environment:a/origin", "checksum": "snapshot:0/3000060", "rows": 9, "seconds": 0.5,
        "schemaVersion": 1, "copied": {
            "position": "0/3000060", "at": "2031-03-04T05:06:07+00:00", "rows": {"ports": 2, "regions": 1, "prices": 9},
            "masks": ["prices: noise 20"], "sample": 10,
        },
    })
}

fn events(stage: &Stage) -> String {
    let columns = "custom-columns=REASON:.reason,NOTE:.message";
    stage
        .server
        .kubectl(&["-n", &stage.namespace, "get", "events", "-o", columns], "")
        .text
}

/// The reader's Secret, and the Job and `NetworkPolicy` with which it reaches the source.
async fn reader_has_a_login(reader: &Stage) -> Secret {
    let login = reader.api::<Secret>().get("harbour-copy").await.unwrap();
    let uid = reader.environment().await.uid().unwrap().replace('-', "");
    let username = format!("rates_copy_{}", &uid[..12]);
    assert_eq!(text(&login, "username"), username);
    assert_eq!(
        text(&login, "uri"),
        format!(
            "postgresql://{username}:{}@origin-postgres.copies-made-of.svc:5432/rates",
            text(&login, "password")
        )
    );
    let pod = reader.job("seed").await.spec.unwrap().template.spec.unwrap();
    let load = &pod.containers[0];
    let variable = |name: &str| {
        let mut env = load.env.iter().flatten();
        env.find(|variable| variable.name == name)
            .unwrap()
            .value
            .clone()
            .unwrap()
    };
    assert_eq!(variable("SEED_COPY_URI_FILE"), "/etc/rates/copy/uri");
    assert_eq!(variable("SEED_SOURCE"), "environment:copies-made-of/origin");
    let policy = reader.api::<NetworkPolicy>().get("harbour-jobs").await.unwrap();
    let to_source = &json!(policy.spec.unwrap().egress)[2]["to"][0];
    assert_eq!(
        to_source["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"],
        "copies-made-of"
    );
    assert_eq!(
        to_source["podSelector"]["matchLabels"]["app.kubernetes.io/instance"],
        "origin"
    );
    login
}

/// The source's Secret and `NetworkPolicy` let in this login, and no other.
async fn source_lets_in(source: &Stage, login: &Secret) {
    assert_eq!(
        copies_key(source).await.unwrap(),
        json!([{
            "username": text(login, "username"), "verifier": text(login, "verifier"),
            "sample": 10, "mask": {"prices": {"noise": 20}},
        }])
    );
    let policy = source
        .api::<NetworkPolicy>()
        .get("origin-postgres")
        .await
        .unwrap();
    let from_reader = &json!(policy.spec.unwrap().ingress)[2];
    assert_eq!(from_reader["ports"], json!([{"port": 5432, "protocol": "TCP"}]));
    assert_eq!(
        from_reader["from"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"],
        "copies-made"
    );
    assert_eq!(
        from_reader["from"][0]["podSelector"]["matchLabels"],
        json!({
            "app.kubernetes.io/name": "rates", "app.kubernetes.io/instance": "harbour", "app.kubernetes.io/component": "seed",
        })
    );
}

#[tokio::test]
async fn a_copy_has_a_login_of_its_own_in_the_source_until_it_is_made() {
    let (source, reader) = pair("copies-made", &["copies-made"]).await;
    let login = reader_has_a_login(&reader).await;
    let mut written = step(&source, &reader).await;
    written.sort();
    assert_eq!(
        written,
        [
            "PATCH networkpolicies/origin-postgres",
            "PATCH ratesenvironments/origin/status",
            "PATCH secrets/origin-postgres-admin",
        ]
    );
    source_lets_in(&source, &login).await;
    assert_eq!(
        source.reconcile().await,
        ["PATCH pods/origin-postgres-0"],
        "its kubelet looks at the Secret"
    );
    for stage in [&source, &reader] {
        stage.settle().await;
        assert_eq!(stage.reconcile().await, [""; 0], "at rest");
    }
    let listed = |path: &str| source.field("renv/origin", &format!("{{.status.database.copies[0].{path}}}"));
    assert_eq!(
        (listed("environment"), listed("complete")),
        ("copies-made/harbour".into(), "false".into())
    );

    reader.database_runs().await;
    reader.job_ends("seed", "publish", "Succeeded", &copied()).await;
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "Loaded");
    let status = reader
        .environment()
        .await
        .status
        .unwrap()
        .database
        .unwrap()
        .seed
        .unwrap();
    assert_eq!(json!(status.copied), copied()["copied"]);
    assert!(
        !reader.exists::<Secret>("harbour-copy").await,
        "the login is for one copy"
    );
    step(&source, &reader).await;
    source.settle().await;
    assert_eq!(copies_key(&source).await, None);
    assert_eq!(
        (listed("complete"), listed("shared")),
        ("true".into(), "true".into())
    );
    for stage in [&source, &reader] {
        assert_eq!(stage.reconcile().await, [""; 0], "at rest");
    }

    // What is withdrawn now concerns later copies.
    source.specify(&source_spec(&json!([])));
    source.settle().await;
    assert_eq!(listed("shared"), "false");
    assert_eq!(step(&reader, &source).await, [""; 0]);
    assert_eq!(seeded(&reader).0, "Loaded");
    let told = events(&source);
    for says in [
        "CopyStarted ",
        "copies-made/harbour copies the data of this environment: 10 % of the pairs of ports, masked {\"prices\":{\"noise\":20}}",
        "CopyComplete ",
        "SharingWithdrawn ",
        "copies-made/harbour keeps the copy that it has",
    ] {
        assert!(told.contains(says), "{says}: {told}");
    }
}

#[tokio::test]
async fn without_consent_nothing_is_copied_and_with_it_the_copy_begins() {
    let (source, reader) = pair("copies-asking", &["others"]).await;
    let (reason, message) = seeded(&reader);
    assert_eq!(reason, "NotShared");
    assert!(
        message.contains("copies-asking-of/origin does not share its data with namespace copies-asking: have its spec.sharing name"),
        "{message}"
    );
    assert_eq!(reader.field("renv/harbour", "{.status.phase}"), "Degraded");
    assert!(!reader.exists::<Secret>("harbour-copy").await);
    assert!(reader.names::<Job>().await.is_empty());
    assert_eq!(step(&source, &reader).await, [""; 0], "nobody is let in");

    let sharing = json!([{"namespaces": ["others"]}, {"namespaces": ["*"], "sample": 50}, {"namespaces": ["copies-asking"], "sample": 1}]);
    source.specify(&source_spec(&sharing));
    step(&reader, &source).await;
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "Loading");
    step(&source, &reader).await;
    assert_eq!(
        copies_key(&source).await.unwrap()[0]["sample"],
        50,
        "the first entry that names it"
    );
}

#[tokio::test]
async fn consent_that_is_withdrawn_in_the_middle_stops_the_copy_and_other_masks_begin_it_anew() {
    let (source, reader) = pair("copies-withdrawn", &["copies-withdrawn"]).await;
    step(&source, &reader).await;
    let first = reader.job("seed").await.name_any();

    source.specify(&source_spec(&json!([{"namespaces": ["copies-withdrawn"]}])));
    step(&reader, &source).await;
    reader.settle().await;
    assert_ne!(
        reader.job("seed").await.name_any(),
        first,
        "what is masked otherwise is copied anew"
    );

    source.specify(&source_spec(&json!([])));
    step(&reader, &source).await;
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "NotShared");
    assert!(reader.names::<Job>().await.is_empty());
    assert!(!reader.exists::<Secret>("harbour-copy").await);
    step(&source, &reader).await;
    source.settle().await;
    assert_eq!(copies_key(&source).await, None);

    source.specify(&source_spec(&shared_with(&["copies-withdrawn"])));
    step(&reader, &source).await;
    reader.settle().await;
    assert_eq!(reader.job("seed").await.name_any(), first, "it goes on");
}

#[tokio::test]
async fn a_copy_that_is_complete_stays_although_consent_was_withdrawn_at_that_moment() {
    let (source, reader) = pair("copies-raced", &["copies-raced"]).await;
    reader.database_runs().await;
    let mut report = copied();
    report["source"] = json!("environment:copies-raced-of/origin");
    reader.job_ends("seed", "publish", "Succeeded", &report).await;
    source.specify(&source_spec(&json!([])));
    step(&reader, &source).await;
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "Loaded");
    assert!(!reader.exists::<Secret>("harbour-copy").await);
}

#[tokio::test]
async fn a_copy_that_is_refused_goes_on_by_itself_once_the_source_can_be_copied() {
    let (_source, reader) = pair("copies-refused", &["*"]).await;
    reader.database_runs().await;
    let refused =
        json!({"outcome": "failed", "message": "table prices has the column customer, which no rule knows"});
    reader.job_ends("seed", "load", "Failed", &refused).await;
    reader.settle().await;
    let job = reader.job("seed").await;
    assert_eq!(
        seeded(&reader),
        (
            "SeedFailed".into(),
            format!(
                "table prices has the column customer, which no rule knows; once that is corrected the copy goes on within 5 minutes, and at once if Job {} is deleted",
                job.name_any()
            )
        )
    );
    assert_eq!(reader.field("renv/harbour", "{.status.phase}"), "Degraded");
    assert_eq!(reader.condition("Progressing").0, "False");
    assert_eq!(job.annotations()["rates.internal/attempt"], "2");

    // Refused again: another attempt, and not a word more.
    reader.job_ends("seed", "load", "Failed", &refused).await;
    let mut written = reader.reconcile().await;
    written.sort();
    let path = format!("jobs/{}", job.name_any());
    assert_eq!(written, [format!("DELETE {path}"), "POST jobs".to_owned()]);
    assert_eq!(reader.reconcile().await, [""; 0]);

    reader.job_ends("seed", "publish", "Succeeded", &copied()).await;
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "Loaded");
}

#[tokio::test]
async fn a_copy_that_is_refused_is_tried_at_once_when_its_job_is_deleted() {
    let (_source, reader) = pair("copies-hurried", &["*"]).await;
    reader.database_runs().await;
    let refused = json!({"outcome": "failed", "message": "table prices has the column customer"});
    reader.job_ends("seed", "load", "Failed", &refused).await;
    reader.settle().await;
    let job = reader.job("seed").await.name_any();
    assert_eq!(seeded(&reader).0, "SeedFailed");
    reader
        .api::<Job>()
        .delete(&job, &DeleteParams::background())
        .await
        .unwrap();
    reader
        .api::<Pod>()
        .delete_collection(&DeleteParams::default().grace_period(0), &seed_pods())
        .await
        .unwrap();
    reader.settle().await;
    assert_eq!(seeded(&reader).0, "Loading");
    assert_eq!(reader.job("seed").await.name_any(), job);
}

#[tokio::test]
async fn a_chain_is_waited_for_and_a_circle_is_told() {
    let server = server::shared();
    let first = Stage::new(server, "copies-circle").await;
    let second = first.beside("second").await;
    let copies = |name: &str| json!({"sharing": [{"namespaces": ["*"]}], "database": {"seed": {"environment": {"name": name}}}});
    first.specify(&copies("second"));
    second.specify(&copies("third"));
    first.settle().await;
    assert_eq!(seeded(&first).0, "SourceNotReady", "{:?}", seeded(&first));

    second.specify(&copies(NAME));
    for stage in [&first, &second] {
        stage.settle().await;
        let (reason, message) = seeded(stage);
        assert_eq!(reason, "SourceCircle");
        assert!(
            message.contains("copies-circle/harbour") && message.contains("copies-circle/second"),
            "{message}"
        );
    }

    let own = json!({"name": NAME, "namespace": "copies-circle"});
    first.specify(&json!({"database": {"seed": {"environment": own}}}));
    first.settle().await;
    assert_eq!(seeded(&first).0, "SourceIsItself");
}

#[tokio::test]
async fn an_operator_of_one_namespace_says_that_it_does_not_look_into_others() {
    let server = server::shared();
    let reader = Stage::new(server, "copies-confined").await;
    reader
        .specify(&json!({"database": {"seed": {"environment": {"name": SOURCE, "namespace": "elsewhere"}}}}));
    reader.settle().await;
    let (reason, message) = seeded(&reader);
    assert_eq!(reason, "SourceNotServed");
    assert!(
        message.contains("does not serve namespace elsewhere"),
        "{message}"
    );
}

#[tokio::test]
async fn what_changes_on_one_side_is_noticed_on_the_other() {
    let server = server::shared();
    let mut reader = Stage::new(server, "copies-noticed").await;
    let source = reader.beside(SOURCE).await;
    let stop = CancellationToken::new();
    let running = reader.run(&stop);
    reader.specify(&json!({"database": {"seed": {"environment": {"name": SOURCE}}}}));
    until("the missing source is told", async || {
        seeded(&reader).0 == "SourceMissing"
    })
    .await;

    source.specify(&source_spec(&json!([])));
    until("the source is noticed", async || seeded(&reader).0 == "NotShared").await;
    source.specify(&source_spec(&shared_with(&["copies-noticed"])));
    until("consent is noticed", async || {
        seeded(&reader).0 == "SourceNotReady"
    })
    .await;

    source.database_runs().await;
    until("the source's Job is made", async || {
        source
            .names::<Job>()
            .await
            .iter()
            .any(|name| name.starts_with("origin-seed"))
    })
    .await;
    let report = json!({"outcome": "succeeded", "source": "bundled", "checksum": "sha256:00", "rows": 3, "seconds": 0.5, "schemaVersion": 1});
    source.job_ends("seed", "publish", "Succeeded", &report).await;
    until("the source's data are noticed", async || {
        seeded(&reader).0 == "Loading"
    })
    .await;
    until("the source lets the reader in", async || {
        copies_key(&source).await.is_some()
    })
    .await;

    source.specify(&source_spec(&json!([])));
    until("the copy is stopped", async || seeded(&reader).0 == "NotShared").await;
    until("nobody is let in", async || copies_key(&source).await.is_none()).await;
    source.specify(&source_spec(&shared_with(&["*"])));
    until("it is let in again", async || copies_key(&source).await.is_some()).await;
    let environments = reader.api::<RatesEnvironment>();
    environments.delete(NAME, &DeleteParams::default()).await.unwrap();
    until("a reader that is gone is not let in", async || {
        copies_key(&source).await.is_none()
    })
    .await;
    stop.cancel();
    running.await.unwrap();
}
