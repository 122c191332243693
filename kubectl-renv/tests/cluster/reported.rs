//! What a report has, and what it must not have.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::stage::{Stage, server};

/// The values of the Secrets, none of which may be in a report: in no file, and in no form that they are written in.
const VALUES: [&str; 5] = [
    "pa55-of-the-application",
    "pa55-of-the-superuser",
    "t0ken-of-batches-0123456789",
    "value-of-a-variable",
    "s3cret-of-a-uri",
];

#[test]
fn a_report_has_what_helps_and_no_value_of_a_secret() {
    let stage = Stage::new("reported");
    stage.leave("fleet");
    let labels = json!({"app.kubernetes.io/name": "rates", "app.kubernetes.io/instance": "fleet", "app.kubernetes.io/component": "postgres"});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fleet-postgres", "labels": labels},
        "stringData": {"password": VALUES[0], "postgres-password": VALUES[1], "ingest-token": VALUES[2]},
    });
    // By `kubectl apply`, which keeps a copy of everything in an annotation.
    stage.kubectl(&["apply", "-f", "-"], &secret.to_string()).ok();
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "fleet-api", "labels": labels},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{
            "name": "api", "image": "i",
            "env": [
                {"name": "PARTNER_API_KEY", "value": VALUES[3]},
                {"name": "RATES_PARTNER", "value": format!("https://user:{}@partner.example/", VALUES[4])},
                {"name": "RATES_LOG", "value": "debug"},
                {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "fleet-postgres", "key": "password"}}},
            ],
        }]}}},
    });
    stage.kubectl(&["apply", "-f", "-"], &deployment.to_string()).ok();
    // So does an environment with a variable of its own.
    let environment = json!({
        "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment", "metadata": {"name": "fleet"},
        "spec": {"profile": "Production", "database": {"seed": {"bundled": {}}}, "api": {"image": "registry.example/api:2", "env": [{"name": "PARTNER_TOKEN", "value": VALUES[3]}]}},
    });
    stage
        .kubectl(&["apply", "-f", "-"], &environment.to_string())
        .ok();

    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    let said = stage
        .renv(&["report", "fleet", "--output", plain.to_str().unwrap()])
        .ok();
    assert!(said.contains("No values of Secrets were read"), "{said}");
    let mut all = String::new();
    read(&plain, &mut all);
    for value in VALUES {
        assert!(!all.contains(value), "{value} is in the report");
        let encoded = base64(value);
        assert!(!all.contains(&encoded), "{value} is in the report, as {encoded}");
    }
    for needed in [
        "Degraded",
        "fleet-postgres-2",
        "Failed to pull image",
        "RATES_LOG",
        "value: debug",
        "key: password",
        "name: fleet-postgres\n",
        "ratesenvironments.rates.internal",
        "gitVersion",
    ] {
        assert!(all.contains(needed), "{needed:?} is missing");
    }
    assert!(plain.join("objects/secrets-metadata.yaml").is_file());
    // The kubelet that would give it is missing here.
    assert!(
        fs::read_to_string(plain.join("unread.txt"))
            .unwrap()
            .contains("logs/fleet-api-7d9f/api.log")
    );

    stage
        .renv(&["report", "fleet", "--output", plain.to_str().unwrap()])
        .refused(1, &["is there already"]);
    let archive = folder.path().join("x.tar.gz");
    stage
        .renv(&["report", "fleet", "--output", archive.to_str().unwrap()])
        .ok();
    let listed = Command::new("tar").arg("-tzf").arg(&archive).output().unwrap();
    assert!(listed.status.success());
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("x/environment.yaml") && listed.contains("x/objects/pods.yaml"),
        "{listed}"
    );
}

fn read(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, all);
        } else {
            all.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// As Secrets hold it, which kubectl says.
fn base64(value: &str) -> String {
    let secret = [
        "create",
        "secret",
        "generic",
        "x",
        "--dry-run=client",
        "-o",
        "jsonpath={.data.v}",
    ];
    let literal = format!("--from-literal=v={value}");
    server().kubectl(&[&secret[..], &[&literal]].concat(), "").ok()
}
