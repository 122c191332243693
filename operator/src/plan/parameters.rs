//! The server's parameters as they are to be, and Patroni's settings with them in their place.
//!
//! Patroni keeps its settings as JSON in an annotation. What else is in there is Patroni's and
//! people's: only the parameters and the settings of `patroni_modes` are put in, and those that are no longer ours
//! taken out. So are parameters that put data at risk, whoever put them there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::{Map, Value};

use super::instances::Instances;
use super::invalid::Invalid;
use super::patroni_edits::{differences, digest};
use super::patroni_modes::{self, SLOT_LIMIT};
use super::profile::Defaults;
use super::resources::Resources;
use super::volume::VolumeIdentity;
use crate::annotations::{PARAMETERS, PATRONI_CONFIG, SETTINGS};
use crate::crd::{Denied, Parameter, Parameters};
use crate::observed::Observed;
use crate::patroni::Cluster;
use crate::quantity::Quantity;

/// What a new cluster starts with, as the image has it.
static FIRST: LazyLock<Value> = LazyLock::new(|| {
    let image: Value =
        serde_yaml::from_str(include_str!("../../../images/postgres/patroni.yml")).unwrap_or_default();
    image["bootstrap"]["dcs"].clone()
});

/// Patroni's settings as they are to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PatroniSettings {
    /// The JSON; as it was found where nothing of it changes.
    pub config: String,
    /// The names of the parameters that are the operator's, comma-separated.
    pub names: String,
    /// The digest of what of the settings is the operator's.
    pub digest: Option<String>,
    /// The settings and parameters that somebody has changed, and that are put back.
    pub restored: Vec<String>,
    /// What was read, so that a change by somebody else in between is not overwritten.
    pub resource_version: Option<String>,
}

/// What decides about the settings, beside what is in force.
pub(super) struct Inputs<'a> {
    pub volume: VolumeIdentity,
    pub spec: &'a Parameters,
    pub defaults: &'a Defaults,
    pub resources: &'a Resources,
    pub instances: Instances,
    /// Of the volume.
    pub size: &'a Quantity,
}

impl PatroniSettings {
    pub(super) fn plan(observed: &Observed, inputs: &Inputs<'_>) -> Result<Self, Invalid> {
        let [name, ..] = observed.identity.patroni_state();
        let known = observed.config_maps.iter().find(|c| c.name_any() == name);
        // Of a volume that was lost nothing is kept.
        let is_same = inputs.volume == VolumeIdentity::Same;
        let config_map = known.filter(|_| is_same);
        let cluster = if is_same {
            Cluster::of(&observed.identity, &observed.config_maps)
        } else {
            Cluster::default()
        };
        let wanted = wanted(inputs, ours(config_map).contains(SLOT_LIMIT))?;
        Ok(Self::merge(config_map, &wanted, inputs.instances, &cluster))
    }

    /// As they are in force.
    pub(super) fn found(observed: &Observed) -> Option<Self> {
        let [name, ..] = observed.identity.patroni_state();
        let config_map = observed.config_maps.iter().find(|c| c.name_any() == name)?;
        let annotation = |key| config_map.annotations().get(key).cloned();
        Some(Self {
            config: annotation(PATRONI_CONFIG)?,
            names: annotation(PARAMETERS)?,
            digest: annotation(SETTINGS),
            restored: Vec::new(),
            resource_version: config_map.resource_version(),
        })
    }

    fn merge(
        config_map: Option<&ConfigMap>,
        wanted: &BTreeMap<String, Value>,
        instances: Instances,
        cluster: &Cluster,
    ) -> Self {
        let annotation = |key| config_map.and_then(|config_map| config_map.annotations().get(key));
        let found = annotation(PATRONI_CONFIG);
        let before: Option<Map<String, Value>> = found
            .and_then(|text| serde_json::from_str(text).ok())
            .filter(|settings: &Map<String, Value>| !settings.is_empty());
        let mut config = before
            .clone()
            .or_else(|| FIRST.as_object().cloned())
            .unwrap_or_default();
        let mut postgresql = take(&mut config, "postgresql");
        let mut parameters = take(&mut postgresql, "parameters");
        let ours = ours(config_map);
        for gone in ours.iter().filter(|name| !wanted.contains_key(**name)) {
            parameters.remove(*gone);
        }
        let mut restored = Vec::new();
        parameters.retain(|name, _| {
            let is_risky = Denied::of(name).is_some() && !wanted.contains_key(name);
            restored.extend(is_risky.then(|| name.clone()));
            !is_risky
        });
        for (name, value) in wanted {
            parameters.insert(name.clone(), value.clone());
        }
        postgresql.insert("parameters".to_owned(), Value::Object(parameters));
        config.insert("postgresql".to_owned(), Value::Object(postgresql));
        let recorded = annotation(SETTINGS);
        let digest_of = |config: &mut Map<String, Value>| {
            let settings = patroni_modes::put_into(config, instances, cluster);
            digest(wanted, &settings)
        };
        // Whether commits had to wait is told by what the operator wrote, whatever somebody made of it since.
        let mut strict = config.clone();
        patroni_modes::be_strict(&mut strict, instances);
        let mut digest = digest_of(&mut strict);
        if recorded == Some(&digest) {
            config = strict;
        } else {
            digest = digest_of(&mut config);
        }
        if recorded == Some(&digest) {
            restored = match &before {
                Some(before) => differences(before, &config),
                None => vec![PATRONI_CONFIG.to_owned()],
            };
        }
        let config = match found {
            Some(text) if before.as_ref() == Some(&config) => text.clone(),
            Some(_) | None => Value::Object(config).to_string(),
        };
        Self {
            config,
            digest: Some(digest),
            restored,
            names: wanted.keys().cloned().collect::<Vec<_>>().join(","),
            resource_version: config_map.and_then(ResourceExt::resource_version),
        }
    }
}

/// The names of the parameters that are the operator's.
fn ours(config_map: Option<&ConfigMap>) -> BTreeSet<&str> {
    let names = config_map.and_then(|config_map| config_map.annotations().get(PARAMETERS));
    names.map(|names| names.split(',').collect()).unwrap_or_default()
}

fn take(settings: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match settings.remove(name) {
        Some(Value::Object(part)) => part,
        Some(_) | None => Map::new(),
    }
}

/// The image's, the profile's over them, those of several instances, the specification's over all.
fn wanted(inputs: &Inputs<'_>, had_slot_limit: bool) -> Result<BTreeMap<String, Value>, Invalid> {
    let Inputs {
        spec,
        defaults,
        resources,
        instances,
        size,
        ..
    } = *inputs;
    let first = FIRST["postgresql"]["parameters"].as_object();
    let mut wanted: BTreeMap<String, Value> = first
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, value) in defaults.parameters {
        wanted.insert((*name).to_owned(), Value::from(*value));
    }
    for (name, value) in patroni_modes::parameters(instances, size, had_slot_limit) {
        wanted.insert(name.to_owned(), value);
    }
    // A default gives way to a small limit.
    let quarter = resources.memory_limit.bytes() / 4 / (1 << 20);
    let shared_buffers = quarter.clamp(1, i128::from(defaults.shared_buffers));
    wanted.insert(
        "shared_buffers".to_owned(),
        Value::from(format!("{shared_buffers}MB")),
    );
    for (name, value) in spec {
        if let Some(denied) = Denied::of(name) {
            return Err(Invalid::Parameter {
                name: name.clone(),
                why: denied.message.to_owned(),
            });
        }
        if !is_name(name) {
            return Err(Invalid::Parameter {
                name: name.clone(),
                why: "a parameter's name has at most 63 letters, digits and underscores, and may have one dot, as in work_mem or auto_explain.log_min_duration".to_owned(),
            });
        }
        let value = match value {
            Parameter::Number(number) => Value::from(*number),
            Parameter::Text(text) => Value::from(text.as_str()),
        };
        wanted.insert(name.to_ascii_lowercase(), value);
    }
    Ok(wanted)
}

fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    name.len() <= 63 && name.split('.').count() <= 2 && name.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::profile::defaults;
    use super::*;
    use crate::crd::{Durability, Profile};

    /// What a pod of the API uses at most with its default settings, as `spec.api.config.readConnections` documents it.
    const CONNECTIONS_OF_A_POD: i64 = 3 + 2 * 3 + 6;
    /// For the operator, the exporter, and people; three of them are kept for superusers.
    const CONNECTIONS_OF_OTHERS: i64 = 20;

    fn config_map(config: &str, names: &str) -> ConfigMap {
        let mut config_map = ConfigMap::default();
        config_map.metadata.resource_version = Some("7".to_owned());
        config_map.metadata.annotations = Some(
            [(PATRONI_CONFIG, config), (PARAMETERS, names)]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
        );
        config_map
    }

    fn merge(config_map: Option<&ConfigMap>, wanted: &BTreeMap<String, Value>) -> PatroniSettings {
        let one = Instances {
            wanted: 1,
            present: 1,
            durability: Durability::Preferred,
            replicated: false,
        };
        PatroniSettings::merge(config_map, wanted, one, &Cluster::default())
    }

    fn wanting(parameters: &Value) -> BTreeMap<String, Value> {
        serde_json::from_value(parameters.clone()).unwrap()
    }

    #[test]
    fn a_new_cluster_starts_with_all_settings_at_once() {
        let settings = merge(None, &wanting(&json!({"work_mem": "8MB"})));
        let config: Value = serde_json::from_str(&settings.config).unwrap();
        assert_eq!(config["ttl"], 30);
        assert_eq!(config["failsafe_mode"], true);
        assert_eq!(config["postgresql"]["parameters"]["work_mem"], "8MB");
        assert_eq!(
            (settings.names.as_str(), settings.resource_version),
            ("work_mem", None)
        );
    }

    #[test]
    fn what_is_not_ours_stays_and_what_is_no_longer_ours_goes() {
        let found = r#"{"ttl":40,"postgresql":{"parameters":{"theirs":1,"gone":2,"work_mem":"4MB"},"use_slots":true},"pause":true}"#;
        let settings = merge(
            Some(&config_map(found, "gone,work_mem")),
            &wanting(&json!({"work_mem": "8MB"})),
        );
        let config: Value = serde_json::from_str(&settings.config).unwrap();
        let wanted = json!({
            "ttl": 30, "loop_wait": 10, "retry_timeout": 10, "pause": true,
            "postgresql": {"parameters": {"theirs": 1, "work_mem": "8MB"}, "use_slots": true},
        });
        assert_eq!(config, wanted);
        assert_eq!(settings.resource_version.as_deref(), Some("7"));
    }

    #[test]
    fn what_somebody_changed_is_told_and_what_the_specification_changed_is_not() {
        let wanted = wanting(&json!({"work_mem": "8MB"}));
        let written = merge(None, &wanted);
        let edited = |change: fn(&mut Value)| {
            let mut config: Value = serde_json::from_str(&written.config).unwrap();
            change(&mut config);
            let mut found = config_map(&config.to_string(), &written.names);
            let annotations = found.metadata.annotations.get_or_insert_default();
            annotations.insert(SETTINGS.to_owned(), written.digest.clone().unwrap());
            found
        };
        let weaker = edited(|config| {
            config["ttl"] = json!(600);
            config["theirs"] = json!(1);
            config["postgresql"]["parameters"]["work_mem"] = json!("1GB");
        });
        assert_eq!(merge(Some(&weaker), &wanted).restored, ["ttl", "work_mem"]);
        let other = wanting(&json!({"work_mem": "9MB"}));
        assert!(merge(Some(&edited(|_| ())), &other).restored.is_empty());
        assert!(merge(Some(&edited(|_| ())), &wanted).restored.is_empty());
        let emptied = edited(|config| *config = json!({}));
        assert_eq!(merge(Some(&emptied), &wanted).restored, ["config"]);
    }

    #[test]
    fn parameters_that_put_data_at_risk_go_whoever_put_them_there() {
        let found = json!({"postgresql": {"parameters": {"fsync": "off", "Synchronous_Commit": "local", "theirs": 1}}});
        let settings = merge(Some(&config_map(&found.to_string(), "")), &wanting(&json!({})));
        let config: Value = serde_json::from_str(&settings.config).unwrap();
        assert_eq!(config["postgresql"]["parameters"], json!({"theirs": 1}));
        assert_eq!(settings.restored, ["Synchronous_Commit", "fsync"]);
    }

    #[test]
    fn what_is_as_it_should_be_is_left_to_the_letter() {
        let found = r#"{ "ttl": 30, "loop_wait": 10,"retry_timeout":10, "postgresql": {"parameters": {"work_mem":   "8MB"} } }"#;
        let settings = merge(
            Some(&config_map(found, "work_mem")),
            &wanting(&json!({"work_mem": "8MB"})),
        );
        assert_eq!(settings.config, found);
    }

    #[test]
    fn settings_that_make_no_sense_are_replaced() {
        for found in ["", "{}", "no JSON", "[]"] {
            let settings = merge(Some(&config_map(found, "")), &wanting(&json!({"a": 1})));
            let config: Value = serde_json::from_str(&settings.config).unwrap();
            assert_eq!(
                (&config["ttl"], &config["postgresql"]["parameters"]["a"]),
                (&json!(30), &json!(1))
            );
        }
    }

    #[test]
    fn names_are_checked() {
        for good in ["work_mem", "auto_explain.log_min_duration", "DateStyle"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a b", "a.b.c", "1a", "a'", "a\n", "a=b", ".a", "ä"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn the_server_has_connections_for_all_api_pods_also_during_a_roll() {
        const NAME: &str = "max_connections";
        let of_the_image = FIRST["postgresql"]["parameters"][NAME].as_i64().unwrap();
        for profile in [Profile::Production, Profile::Staging, Profile::Preview] {
            let defaults = defaults(profile);
            let mut parameters = defaults.parameters.iter();
            let own = parameters.find(|(name, _)| *name == NAME);
            let connections = own.map_or(of_the_image, |(_, value)| value.parse().unwrap());
            let pods = i64::from(defaults.most_replicas.unwrap_or(defaults.replicas));
            // One more during a roll (`spec.api.rollout.maxSurge`), and one that ends.
            let needed = (pods + 2) * CONNECTIONS_OF_A_POD + CONNECTIONS_OF_OTHERS;
            assert!(
                needed <= connections,
                "{profile:?} needs {needed} of {connections}"
            );
        }
    }
}
