//! An environment and what exists of it, from YAML documents told apart by their kind.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use rates_operator::crd::{RatesEnvironment, RatesEnvironmentStatus};
use rates_operator::credentials::GeneratedSecrets;
use rates_operator::identity::Identity;
use rates_operator::ingest_token::IngestToken;
use rates_operator::observed::{Dump, Observed};
use rates_operator::password::Password;
use rates_operator::plan::{Environment, Invalid, plan};
use rates_operator::settings::{Images, Monitoring};
use serde::Deserialize;
use serde_yaml::Value;

/// The moment at which the fixtures play.
pub const NOW: &str = "2031-03-04T05:06:07Z";

pub fn observed(yaml: &str) -> Observed {
    let documents: Vec<Value> = serde_yaml::Deserializer::from_str(yaml)
        .map(|document| Value::deserialize(document).unwrap())
        .collect();
    let environment: RatesEnvironment = documents
        .iter()
        .find(|document| document["kind"] == "RatesEnvironment")
        .map(|document| serde_yaml::from_value(document.clone()).unwrap())
        .expect("a RatesEnvironment");
    let mut observed = Observed::alone(
        Identity::of(&environment).expect("name, namespace, uid"),
        environment,
    );
    for document in documents {
        match document["kind"].as_str().unwrap() {
            "RatesEnvironment" => {}
            "PersistentVolumeClaim" => observed.claims.push(serde_yaml::from_value(document).unwrap()),
            "Job" => observed.jobs.push(serde_yaml::from_value(document).unwrap()),
            "Pod" => observed.pods.push(serde_yaml::from_value(document).unwrap()),
            "Deployment" => observed
                .deployments
                .push(serde_yaml::from_value(document).unwrap()),
            "StatefulSet" => observed
                .stateful_sets
                .push(serde_yaml::from_value(document).unwrap()),
            "Secret" => {
                let secret: Secret = serde_yaml::from_value(document).unwrap();
                if secret.name_any() == observed.identity.api() {
                    observed.token_secret = Some(secret);
                } else {
                    observed.app_secret = Some(secret);
                }
            }
            "ConfigMap" => {
                let config_map: ConfigMap = serde_yaml::from_value(document).unwrap();
                if observed.identity.patroni_state().contains(&config_map.name_any()) {
                    observed.config_maps.push(config_map);
                    continue;
                }
                observed.dump = Dump::Found {
                    digest: config_map.name_any(),
                };
            }
            kind => panic!("the fixture has a {kind}, which nothing reads"),
        }
    }
    observed
}

pub fn images() -> Images {
    let postgres = [
        "13.5=registry.example/pg:thirteen",
        "17=registry.example/pg:seventeen",
    ]
    .map(str::to_owned);
    Images::new("registry.example/api:newest".to_owned(), &postgres).unwrap()
}

/// What the operator of the fixtures was told of monitoring.
pub fn monitoring() -> Monitoring {
    let namespaces = ["lookout", "lighthouse"].map(str::to_owned);
    Monitoring::new(
        Some("registry.example/exporter:newest".to_owned()),
        namespaces.into(),
    )
}

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub fn validated(observed: &Observed) -> Result<Environment, Invalid> {
    let password = |letter: &str| Password::from(letter.repeat(32));
    plan(
        observed,
        &images(),
        &monitoring(),
        GeneratedSecrets {
            password: password("p"),
            next_password: password("n"),
            superuser_password: password("s"),
            replication_password: password("r"),
            patroni_password: password("k"),
            migrator_password: password("m"),
            copy_password: password("c"),
            ingest_token: IngestToken::parse(&[b't'; 32]).unwrap(),
        },
        now(),
    )
}

pub fn environment(observed: &Observed) -> Environment {
    validated(observed).unwrap()
}

/// Status, reason and message of a condition.
pub fn said<'a>(status: &'a RatesEnvironmentStatus, kind: &str) -> (&'a str, &'a str, &'a str) {
    let condition = status.conditions.iter().find(|c| c.type_ == kind).unwrap();
    (&condition.status, &condition.reason, &condition.message)
}
