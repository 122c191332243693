//! The pods' templates are the same as before. An operator with another one replaces the pods of
//! every environment when it is installed.

use std::fmt::Write;

use rates_operator::build::{DeploymentChild, build};
use rates_operator::digest::short_digest;

use crate::fixture;

const KNOWN: &str = include_str!("fixtures/pod-templates.txt");

#[test]
fn an_upgrade_of_the_operator_replaces_no_pods_unless_that_is_meant() {
    let mut now = String::new();
    for (name, yaml) in [
        ("new", include_str!("fixtures/new.yaml")),
        ("running", include_str!("fixtures/running.yaml")),
        ("everything", include_str!("fixtures/everything.yaml")),
    ] {
        let children = build(&fixture::environment(&fixture::observed(yaml)));
        let digest = |template| short_digest(&[&serde_json::to_vec(&template).unwrap()]);
        let database = digest(children.stateful_set.spec.unwrap().template);
        writeln!(now, "{name} database {database}").unwrap();
        if let Some(DeploymentChild { deployment, .. }) = children.deployments.into_iter().next() {
            let api = digest(deployment.spec.unwrap().template);
            writeln!(now, "{name} api {api}").unwrap();
        }
    }
    let known: String = KNOWN
        .split_inclusive('\n')
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(
        now, known,
        "the pods of every environment that has such a template are replaced by an upgrade of the operator. Avoid \
         that if you can: leave out what is not set. If it is meant, write the digests of the left side to \
         tests/pipeline/fixtures/pod-templates.txt, and which pods restart to CHANGELOG.md"
    );
}
