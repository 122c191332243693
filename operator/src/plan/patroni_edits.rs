//! What somebody has changed in Patroni's settings: told by a digest of what the operator wrote there last.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::digest::short_digest;

/// The digest of what of the settings is the operator's.
pub(super) fn digest(parameters: &BTreeMap<String, Value>, settings: &[(&str, Value)]) -> String {
    let parameters = parameters.iter().map(|(name, value)| (name.as_str(), value));
    let settings = settings.iter().map(|(name, value)| (*name, value));
    let lines: Vec<String> = parameters
        .chain(settings)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
    short_digest(&lines)
}

/// The settings and parameters in which two versions of the settings differ.
pub(super) fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let (one, other) = (flat(before), flat(after));
    let names: BTreeSet<&str> = one.keys().chain(other.keys()).copied().collect();
    let differs = |name: &&str| one.get(*name) != other.get(*name);
    names.into_iter().filter(differs).map(str::to_owned).collect()
}

/// The settings of Patroni and the parameters of the server side by side.
fn flat(settings: &Map<String, Value>) -> BTreeMap<&str, &Value> {
    let parameters = settings.get("postgresql").and_then(|part| part.get("parameters"));
    let parameters = parameters.and_then(Value::as_object).into_iter().flatten();
    let rest = settings.iter().filter(|(name, _)| *name != "postgresql");
    parameters
        .chain(rest)
        .map(|(name, value)| (name.as_str(), value))
        .collect()
}
