//! Why a Prometheus has no ladder of what was asked for, and what to do.

use anyhow::{Result, anyhow};

use crate::cluster::{self, Known};
use crate::flags::Target;
use crate::key::Key;
use crate::ladder::ladders;
use crate::prometheus::{Prometheus, Selection};

/// How many environments a message names.
const NAMED: usize = 8;

/// The reason as an error. What cannot be asked is left out: the reason may be found without it.
pub async fn explain(prometheus: &Prometheus, selection: &Selection, target: &Target) -> anyhow::Error {
    reason(prometheus, selection, target)
        .await
        .map_or_else(|error| error, |reason| anyhow!(reason))
}

async fn reason(prometheus: &Prometheus, selection: &Selection, target: &Target) -> Result<String> {
    let address = prometheus.address();
    let others: Vec<Key> = ladders(&prometheus.saturation(&Selection::All).await?)
        .into_keys()
        .collect();
    if others.is_empty() && !prometheus.has_rules().await? {
        return Ok(format!(
            "Prometheus at {address} has no rules rates:saturation:…: load those of manifests/monitoring \
             (docs/monitoring.md says how), and try again after a minute"
        ));
    }
    let what = match selection {
        Selection::All => "any environment".to_owned(),
        Selection::Namespace(namespace) => format!("an environment in namespace {namespace}"),
        Selection::One(key) => match cluster::known(target, key).await {
            Ok(Known::Missing) => {
                return Ok(format!(
                    "there is no RatesEnvironment {} in namespace {}{}",
                    key.name,
                    key.namespace,
                    listed(&others)
                ));
            }
            Ok(Known::WithoutMonitoring) => {
                return Ok(format!(
                    "RatesEnvironment {key} has no spec.monitoring, so nothing of it is measured: kubectl patch renv/{} \
                     -n {} --type=merge -p '{{\"spec\":{{\"monitoring\":{{\"podMonitor\":true}}}}}}'",
                    key.name, key.namespace
                ));
            }
            Ok(Known::WithMonitoring) => {
                return Ok(format!(
                    "RatesEnvironment {key} has spec.monitoring, but Prometheus at {address} has no ladder of it: after a \
                     minute look at {address}/targets for the pods of {}{}",
                    key.name,
                    listed(&others)
                ));
            }
            Err(_) => format!("environment {key}"),
        },
    };
    Ok(format!(
        "Prometheus at {address} has no ladder of {what}: an environment has one a minute after its spec.monitoring was \
         set and Prometheus scrapes its pods ({address}/targets){}",
        listed(&others)
    ))
}

/// The environments that there are instead.
fn listed(others: &[Key]) -> String {
    if others.is_empty() {
        return String::new();
    }
    let names: Vec<String> = others.iter().take(NAMED).map(Key::to_string).collect();
    let more = if others.len() > NAMED { ", …" } else { "" };
    format!("; it has ladders of {}{more}", names.join(", "))
}
