//! What people say of pods and Services beside what runs in them: where the pods may run, with which
//! Secrets their images are pulled, and labels and annotations.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration};

use super::invalid::Invalid;
use super::profile::Amounts;
use super::resources::Resources;
use crate::crd::{EmbeddedMetadata, LabelValue, RatesEnvironmentSpec};
use crate::digest::short_digest;

const LOAD_AMOUNTS: Amounts = Amounts {
    cpu: "20m",
    memory: "64Mi",
    memory_limit: "512Mi",
};
const JOB_AMOUNTS: Amounts = Amounts {
    cpu: "10m",
    memory: "32Mi",
    memory_limit: "256Mi",
};
const LONGEST_NAME: usize = 63;
const LONGEST_DOMAIN: usize = 253;

/// What all pods of an environment have in common.
#[derive(Clone, Debug)]
pub struct Scheduling {
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Toleration>,
    pub affinity: Option<Affinity>,
    pub priority_class: Option<String>,
    /// The Secrets with which images are pulled.
    pub pull_secrets: Vec<String>,
}

/// A person's labels and annotations of pods or of a Service.
#[derive(Clone, Debug)]
pub struct Metadata {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// The pods of the Jobs.
#[derive(Clone, Debug)]
pub struct JobPods {
    /// Of the container that loads a dump.
    pub load: Resources,
    /// Of the containers that run the API's image.
    pub others: Resources,
    pub metadata: Metadata,
    /// What the specification says of these pods, as an input of every Job; `None` where it is silent.
    pub digest: Option<String>,
}

impl Scheduling {
    pub(super) fn of(spec: &RatesEnvironmentSpec) -> Result<Self, Invalid> {
        let scheduling = spec.scheduling.clone().unwrap_or_default();
        let secrets = spec.image_pull_secrets.iter();
        Ok(Self {
            node_selector: labels(Some(&scheduling.node_selector), "scheduling.nodeSelector")?,
            tolerations: scheduling.tolerations,
            affinity: scheduling.affinity,
            priority_class: scheduling.priority_class_name,
            pull_secrets: secrets.map(|secret| secret.name.clone()).collect(),
        })
    }
}

impl Metadata {
    /// `field` names the place in the spec.
    pub(super) fn of(spec: Option<&EmbeddedMetadata>, field: &'static str) -> Result<Self, Invalid> {
        let annotations = spec.into_iter().flat_map(|spec| &spec.annotations);
        Ok(Self {
            labels: labels(spec.map(|spec| &spec.labels), field)?,
            annotations: annotations
                .map(|(key, value)| Ok((checked(key, field)?, value.0.clone())))
                .collect::<Result<_, Invalid>>()?,
        })
    }
}

impl JobPods {
    /// `api` and `database` are the resources of the main containers, where the specification sets them.
    pub(super) fn of(
        spec: &RatesEnvironmentSpec,
        api: Option<&Resources>,
        database: Option<&Resources>,
    ) -> Result<Self, Invalid> {
        let jobs = spec.jobs.clone().unwrap_or_default();
        let scheduling = spec.scheduling.clone().unwrap_or_default();
        let said = (&jobs, &scheduling, &spec.image_pull_secrets);
        let silent = said == (&<_>::default(), &<_>::default(), &Vec::new());
        let resources =
            |amounts, main| Resources::beside(jobs.resources.as_ref(), "jobs.resources", amounts, main);
        Ok(Self {
            load: resources(&LOAD_AMOUNTS, database)?,
            others: resources(&JOB_AMOUNTS, api)?,
            metadata: Metadata::of(jobs.pod_metadata.as_ref(), "jobs.podMetadata")?,
            // Nothing in it has keys that are not text.
            digest: (!silent).then(|| short_digest(&[&serde_json::to_vec(&said).unwrap_or_default()])),
        })
    }
}

pub(super) fn labels(
    spec: Option<&BTreeMap<String, LabelValue>>,
    field: &'static str,
) -> Result<BTreeMap<String, String>, Invalid> {
    spec.into_iter()
        .flatten()
        .map(|(key, value)| Ok((checked(key, field)?, value.0.clone())))
        .collect()
}

/// A rule of the definition cannot say this: to look at each key would cost it too much.
fn checked(key: &str, field: &'static str) -> Result<String, Invalid> {
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    if domain.is_none_or(is_domain) && is_name(name) {
        return Ok(key.to_owned());
    }
    Err(Invalid::Key {
        field,
        key: key.to_owned(),
    })
}

/// The name of a qualified name, as Kubernetes defines it.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= LONGEST_NAME && is_framed(text, |byte| byte.is_ascii_alphanumeric(), inner)
}

/// A DNS subdomain (RFC 1123).
fn is_domain(text: &str) -> bool {
    let outer = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= LONGEST_DOMAIN
        && text
            .split('.')
            .all(|part| is_framed(part, outer, |byte| outer(byte) || byte == b'-'))
}

/// Whether a text begins and ends with one kind of byte and has another one between.
fn is_framed(text: &str, outer: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| outer(*byte))
        && bytes.last().is_some_and(|byte| outer(*byte))
        && bytes.iter().all(|byte| inner(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_label_is_a_qualified_name() {
        for key in ["team", "Team_1.a-b", "example.com/team", "a/b"] {
            assert_eq!(checked(key, "api.podMetadata"), Ok(key.to_owned()));
        }
        let long = "a".repeat(64);
        for key in [
            "",
            "-team",
            "team.",
            "te am",
            "/team",
            "a/b/c",
            "Example.com/team",
            "a..b/team",
            &long,
        ] {
            let invalid = checked(key, "api.podMetadata").unwrap_err().to_string();
            let says = format!("spec.api.podMetadata has the key {key:?}");
            assert!(invalid.starts_with(&says), "{invalid}");
        }
    }
}
