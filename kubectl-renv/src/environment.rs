//! An environment's object, of which this program reads the fields below. A field that it cannot read counts as absent,
//! so that it goes on with objects of other releases.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::key::Key;

/// An environment.
#[derive(Clone, Debug)]
pub struct Environment {
    pub object: DynamicObject,
    pub spec: Spec,
    pub status: Status,
}

/// What is read of `spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    pub lifetime: Lifetime,
    pub suspend: bool,
    pub sharing: Vec<Share>,
}

/// `spec.lifetime`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Lifetime {
    pub ttl: Option<String>,
    pub sleep_after: Option<String>,
}

/// An entry of `spec.sharing`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Share {
    pub namespaces: Vec<String>,
}

/// What is read of `status`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    pub phase: Option<String>,
    pub message: Option<String>,
    pub url: Option<String>,
    pub profile: Option<String>,
    pub observed_generation: Option<i64>,
    pub expires_at: Option<Timestamp>,
    pub sleep: Option<Sleep>,
    pub database: Database,
    pub api: Api,
    pub conditions: Vec<Condition>,
}

/// `status.sleep`, which is there from when it goes to sleep until it serves again.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Sleep {
    pub since: Option<Timestamp>,
}

/// `status.database`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Database {
    pub version: Option<String>,
    pub image: Option<String>,
    pub primary: Option<String>,
    pub timeline: Option<i64>,
    pub instances: i64,
    pub ready_instances: i64,
    pub synchronous_standbys: Option<i64>,
    pub failovers: Option<Failovers>,
    pub storage: Option<Storage>,
    pub seed: Option<Seed>,
    pub schema: Option<Schema>,
    pub pending_restart: Vec<String>,
    pub rotation: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Failovers {
    pub count: i64,
    pub last: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Storage {
    pub size: String,
    pub storage_class_name: Option<String>,
}

/// What was loaded.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Seed {
    pub source: String,
    pub rows: i64,
    pub seconds: f64,
    pub checksum: Option<String>,
    /// Of a copy of another environment: what was copied.
    pub copied: Option<Copied>,
}

/// What was copied of another environment.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Copied {
    /// By the source's clock.
    pub at: Option<String>,
    pub position: Option<String>,
    pub rows: BTreeMap<String, i64>,
    pub sample: Option<i64>,
    pub masks: Vec<Value>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Schema {
    pub version: Option<i64>,
    pub image: String,
}

/// `status.api`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Api {
    pub image: Option<String>,
    pub replicas: i64,
    pub ready_replicas: i64,
    pub updated_replicas: i64,
    pub autoscaling: Option<Autoscaling>,
    pub revision: Option<Revision>,
    pub failed_rollout: Option<FailedRollout>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Autoscaling {
    pub min_replicas: i64,
    pub max_replicas: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Revision {
    pub image: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FailedRollout {
    pub reason: String,
    pub message: String,
}

/// One of `status.conditions`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    pub r#type: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    pub last_transition_time: Option<Timestamp>,
}

impl Environment {
    #[must_use]
    pub fn new(object: DynamicObject) -> Self {
        Self {
            spec: read(&object.data["spec"]),
            status: read(&object.data["status"]),
            object,
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        self.object.metadata.name.as_deref().unwrap_or_default()
    }

    #[must_use]
    pub fn key(&self) -> Key {
        Key {
            namespace: self.object.namespace().unwrap_or_default(),
            name: self.object.name_any(),
        }
    }

    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        self.object
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0)
    }

    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.object.annotations().get(key).map(String::as_str)
    }

    /// The phase, as far as the operator looked at the object.
    #[must_use]
    pub fn phase(&self) -> &str {
        if self.object.metadata.deletion_timestamp.is_some() {
            return "Terminating";
        }
        self.status.phase.as_deref().unwrap_or("Pending")
    }

    /// What is going on, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        if !self.is_observed() {
            return "the operator has not looked at the last change yet";
        }
        self.status.message.as_deref().unwrap_or_default()
    }

    /// Whether the operator has seen the last change.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.status.observed_generation == self.object.metadata.generation
    }

    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status
            .conditions
            .iter()
            .find(|condition| condition.r#type == kind)
    }

    #[must_use]
    pub fn holds(&self, kind: &str) -> bool {
        self.condition(kind)
            .is_some_and(|condition| condition.status == "True")
    }

    /// Whether it serves, and is as the last change says.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_observed() && self.phase() == "Ready" && self.holds("Ready")
    }

    /// Since when it sleeps, if it does.
    #[must_use]
    pub fn asleep_since(&self) -> Option<Timestamp> {
        let sleep = self.status.sleep.as_ref().filter(|_| self.phase() == "Asleep");
        sleep?.since
    }

    /// Whether an environment of another namespace may copy it.
    #[must_use]
    pub fn shares_with(&self, namespace: &str) -> bool {
        let lets_in = |share: &Share| {
            let mut namespaces = share.namespaces.iter();
            namespaces.any(|allowed| allowed == namespace || allowed == "*")
        };
        self.spec.sharing.iter().any(lets_in)
    }
}

/// Reads what can be read: each member by itself, so that a malformed one hides no other.
fn read<T: for<'a> Deserialize<'a> + Default>(value: &Value) -> T {
    if let Ok(read) = T::deserialize(value) {
        return read;
    }
    let mut readable = value.clone();
    if let Some(members) = readable.as_object_mut() {
        let single = |name: &str, value: &Value| {
            Value::Object([(name.to_owned(), value.clone())].into_iter().collect())
        };
        members.retain(|name, value| T::deserialize(single(name, value)).is_ok());
    }
    T::deserialize(readable).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn environment(object: Value) -> Environment {
        Environment::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_field_that_cannot_be_read_hides_no_other() {
        let found = environment(json!({
            "metadata": {"name": "x", "namespace": "n", "generation": 2},
            "status": {"phase": "Ready", "observedGeneration": 2, "expiresAt": "soon", "database": {"instances": 3}},
        }));
        assert_eq!(found.phase(), "Ready");
        assert_eq!(found.status.expires_at, None);
        assert_eq!(found.status.database.instances, 3);
        let nothing = environment(json!({"metadata": {"name": "x"}}));
        assert_eq!((nothing.phase(), nothing.message()), ("Pending", ""));
    }

    #[test]
    fn ready_counts_only_for_the_last_change() {
        let ready = |generation: i64| {
            environment(json!({
                "metadata": {"name": "x", "generation": generation},
                "status": {"phase": "Ready", "observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}]},
            }))
        };
        assert!(ready(2).is_ready());
        assert!(!ready(3).is_ready());
    }

    #[test]
    fn consent_names_the_namespace_or_all() {
        let source = |namespaces: Value| {
            environment(json!({"metadata": {}, "spec": {"sharing": [{"namespaces": namespaces}]}}))
        };
        assert!(source(json!(["a", "previews"])).shares_with("previews"));
        assert!(source(json!(["*"])).shares_with("previews"));
        assert!(!source(json!(["a"])).shares_with("previews"));
    }
}
