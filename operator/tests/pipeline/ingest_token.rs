//! The token that batches come with: what reaches whom, and that it is shown nowhere.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rates_operator::apply::Applied;
use rates_operator::build::build;
use rates_operator::crd::Phase;
use rates_operator::identity::Identity;
use rates_operator::observed::Observed;
use rates_operator::status::{self, Problem};

use crate::fixture;

const RUNNING: &str = include_str!("fixtures/running.yaml");

fn with_token(observed: &mut Observed, token: &str) {
    let Identity { name, namespace, .. } = observed.identity.clone();
    let labels = observed.token_secret.as_ref().unwrap().metadata.labels.clone();
    let mut secret = Secret {
        data: Some([("ingest-token".to_owned(), ByteString(token.as_bytes().to_vec()))].into()),
        ..Secret::default()
    };
    secret.metadata.name = Some(format!("{name}-api"));
    secret.metadata.namespace = Some(namespace);
    secret.metadata.labels = labels;
    observed.token_secret = Some(secret);
}

#[test]
fn a_new_token_changes_the_secret_and_nothing_else() {
    let mut observed = fixture::observed(RUNNING);
    let mut before = serde_json::to_value(build(&fixture::environment(&observed))).unwrap();
    with_token(&mut observed, "another-token-of-the-keeper");
    let mut after = serde_json::to_value(build(&fixture::environment(&observed))).unwrap();
    let (old, new) = (before["tokenSecret"].take(), after["tokenSecret"].take());
    for key in ["ingest-token", "ingest-token-sha256"] {
        assert_ne!(old["data"][key], new["data"][key]);
    }
    assert_eq!(before, after, "no pod is replaced for it");
}

#[test]
fn all_tokens_have_one_owner_in_a_line_that_the_release_before_passes_over() {
    let mut owners = Vec::new();
    for token in ["a-token-of-the-keeper", "another-token-of-the-keeper"] {
        let mut observed = fixture::observed(RUNNING);
        with_token(&mut observed, token);
        let data = build(&fixture::environment(&observed))
            .token_secret
            .unwrap()
            .data
            .unwrap();
        let text = String::from_utf8(data["ingest-token-sha256"].0.clone()).unwrap();
        let (first, digests) = text.split_once('\n').unwrap();
        owners.push(first.to_owned());
        // It takes lines of 64 hexadecimal digits, and skips those that begin with `#`.
        for line in digests.lines() {
            assert!(
                line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{line}"
            );
        }
    }
    assert_eq!(owners, ["# owner: ingest-token"; 2]);
}

#[test]
fn only_the_apis_pods_are_given_the_digest_and_nobody_the_token() {
    for yaml in [
        include_str!("fixtures/new.yaml"),
        include_str!("fixtures/bundled.yaml"),
        include_str!("fixtures/seeding.yaml"),
        include_str!("fixtures/migrating.yaml"),
        RUNNING,
    ] {
        let observed = fixture::observed(yaml);
        let secret = observed.identity.api();
        let children = build(&fixture::environment(&observed));
        let pods = [
            serde_json::to_string(&children.seed_job).unwrap(),
            serde_json::to_string(&children.migrate_job).unwrap(),
            serde_json::to_string(&children.stateful_set).unwrap(),
        ];
        let secret_volume = format!("\"secretName\":\"{secret}\"");
        for pod in &pods {
            assert!(!pod.contains("ingest") && !pod.contains(&secret_volume), "{pod}");
        }
        let api = serde_json::to_string(&children.deployments).unwrap();
        assert!(
            !api.contains("\"ingest-token\"") && !api.contains("secretKeyRef") && !api.contains("envFrom"),
            "{api}"
        );
    }
}

#[test]
fn what_is_no_token_is_told_stays_and_stops_nothing_else() {
    const WRONG: &str = "my-secret with blanks";
    let mut observed = fixture::observed(RUNNING);
    with_token(&mut observed, WRONG);
    let environment = fixture::environment(&observed);
    let children = build(&environment);
    assert!(children.token_secret.is_none(), "left as it is");
    assert!(!children.deployments.is_empty() && !children.autoscalers.is_empty());

    let invalid = environment.ingest_tokens.as_ref().unwrap_err();
    let status = status::status(
        &environment,
        &observed,
        &Applied::default(),
        Some(Problem::from(invalid)),
        fixture::now(),
    );
    assert_eq!(status.phase, Some(Phase::Degraded));
    let ready = &status.conditions[0];
    assert_eq!(
        (ready.type_.as_str(), ready.status.as_str(), ready.reason.as_str()),
        ("Ready", "False", "InvalidSecret")
    );
    assert!(
        ready
            .message
            .starts_with("the ingest-token of Secret lighthouse-api is not 16 to 128"),
        "{}",
        ready.message
    );
    assert_eq!(status.message.as_ref(), Some(&ready.message), "it fits one line");
    let said = serde_json::to_string(&status).unwrap() + &format!("{environment:?}{invalid:?}");
    assert!(!said.contains(WRONG), "{said}");
}

#[test]
fn an_environment_that_is_printed_shows_no_token() {
    let printed = format!("{:?}", fixture::environment(&fixture::observed(RUNNING)));
    assert!(!printed.contains("set-by-the-keeper-of-the-light"), "{printed}");
    let printed = format!(
        "{:?}",
        fixture::environment(&fixture::observed(include_str!("fixtures/new.yaml")))
    );
    assert!(!printed.contains(&"t".repeat(32)), "{printed}");
}
