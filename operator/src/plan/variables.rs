//! The variables of the API's containers: its settings as the spec has them, and the spec's own.
//!
//! An image refuses to start with a setting that it does not know. So only what the spec sets is
//! passed, beside the four that every release so far knows (`build::deployment`); the first
//! setting that one of them lacks will need the image's version here.

use k8s_openapi::api::core::v1::{ConfigMapKeySelector, EnvVar, EnvVarSource, SecretKeySelector};

use crate::crd::{self, Config};

/// Settings first, in the order in which they are declared, and then the other variables.
pub fn of(config: &Config, env: &[crd::EnvVar]) -> Vec<EnvVar> {
    let own = env.iter().map(variable);
    settings(config).into_iter().chain(own).collect()
}

fn settings(config: &Config) -> Vec<EnvVar> {
    // Destructured, so that a setting that was forgotten does not compile.
    let Config {
        request_timeout_seconds,
        query_timeout_seconds,
        connect_timeout_seconds,
        read_connections,
        answer_cache_bytes,
        max_batches,
        max_batch_bytes,
        max_batch_rows,
        body_timeout_seconds,
        lease_seconds,
        idempotency_hours,
        max_connections,
        idle_timeout_seconds,
        idle_user_agents,
        log,
    } = config;
    let number = |value: &Option<i32>| value.map(|value| value.to_string());
    let large = |value: &Option<i64>| value.map(|value| value.to_string());
    [
        ("RATES_REQUEST_TIMEOUT_SECONDS", number(request_timeout_seconds)),
        ("RATES_QUERY_TIMEOUT_SECONDS", number(query_timeout_seconds)),
        ("RATES_CONNECT_TIMEOUT_SECONDS", number(connect_timeout_seconds)),
        ("RATES_READ_CONNECTIONS", number(read_connections)),
        ("RATES_ANSWER_CACHE_BYTES", large(answer_cache_bytes)),
        ("RATES_MAX_BATCHES", number(max_batches)),
        ("RATES_MAX_BATCH_BYTES", large(max_batch_bytes)),
        ("RATES_MAX_BATCH_ROWS", large(max_batch_rows)),
        ("RATES_BODY_TIMEOUT_SECONDS", number(body_timeout_seconds)),
        ("RATES_LEASE_SECONDS", number(lease_seconds)),
        ("RATES_IDEMPOTENCY_HOURS", number(idempotency_hours)),
        ("RATES_MAX_CONNECTIONS", number(max_connections)),
        ("RATES_IDLE_TIMEOUT_SECONDS", number(idle_timeout_seconds)),
        ("RATES_IDLE_USER_AGENTS", idle_user_agents.clone()),
        ("RATES_LOG", log.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| {
        Some(EnvVar {
            name: name.to_owned(),
            value: Some(value?),
            value_from: None,
        })
    })
    .collect()
}

fn variable(spec: &crd::EnvVar) -> EnvVar {
    let source = |from: &crd::EnvVarSource| EnvVarSource {
        secret_key_ref: from.secret_key_ref.as_ref().map(|entry| SecretKeySelector {
            name: entry.name.clone(),
            key: entry.key.clone(),
            optional: None,
        }),
        config_map_key_ref: from
            .config_map_key_ref
            .as_ref()
            .map(|entry| ConfigMapKeySelector {
                name: entry.name.clone(),
                key: entry.key.clone(),
                optional: None,
            }),
        ..EnvVarSource::default()
    };
    EnvVar {
        name: spec.name.clone(),
        value: spec.value.clone(),
        value_from: spec.value_from.as_ref().map(source),
    }
}
