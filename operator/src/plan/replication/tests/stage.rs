//! A database of several instances for the tests of this folder: whole at first, and changed from there.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use serde_json::{Map, Value, json};

use super::super::Replication;
use crate::identity::Identity;
use crate::observed::Observed;

pub const NOW: &str = "2031-03-04T05:06:07Z";

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// What of a stage a case changes, with what is expected then.
pub type Case<'a> = (&'a str, fn(&mut Stage));

/// Three instances `pier-postgres-0` to `-2`, of which the first is the primary.
pub struct Stage {
    pub pods: Vec<Value>,
    pub leader: Value,
    pub sync: Value,
    pub order: Value,
    /// Patroni's settings.
    pub settings: Value,
    pub annotations: Value,
    pub replicas: u8,
    pub claims: Vec<Value>,
    pub wanted: u8,
    pub runs: bool,
    pub strategy: &'static str,
}

pub fn name(ordinal: u8) -> String {
    format!("pier-postgres-{ordinal}")
}

impl Stage {
    pub fn of(instances: u8) -> Self {
        let standbys: Vec<String> = (1..instances).map(name).collect();
        Self {
            pods: (0..instances).map(pod).collect(),
            leader: json!({"leader": name(0), "renewTime": "2031-03-04T05:06:06Z", "optime": "5000"}),
            sync: json!({"leader": name(0), "sync_standby": standbys.join(","), "quorum": "1"}),
            order: json!({}),
            settings: json!({}),
            annotations: json!({}),
            replicas: instances,
            claims: (0..instances).map(claim).collect(),
            wanted: instances,
            runs: true,
            strategy: "OnDelete",
        }
    }

    /// All pods are of the template before.
    pub fn outdated(instances: u8) -> Self {
        let mut stage = Self::of(instances);
        for ordinal in 0..instances {
            stage.revision(ordinal, "before");
        }
        stage
    }

    pub fn revision(&mut self, ordinal: u8, revision: &str) {
        self.pod(ordinal)["metadata"]["labels"]["controller-revision-hash"] = revision.into();
    }

    pub fn pod(&mut self, ordinal: u8) -> &mut Value {
        let name = name(ordinal);
        self.pods
            .iter_mut()
            .find(|pod| pod["metadata"]["name"] == name.as_str())
            .unwrap()
    }

    pub fn remove(&mut self, ordinal: u8) {
        let name = name(ordinal);
        self.pods.retain(|pod| pod["metadata"]["name"] != name.as_str());
    }

    /// What Patroni says of a member, over what it said.
    pub fn member(&mut self, ordinal: u8, change: &Value) {
        let annotations = &mut self.pod(ordinal)["metadata"]["annotations"];
        let mut member: Map<String, Value> =
            serde_json::from_str(annotations["status"].as_str().unwrap()).unwrap();
        member.extend(change.as_object().unwrap().clone());
        annotations["status"] = Value::Object(member).to_string().into();
    }

    pub fn unready(&mut self, ordinal: u8) {
        self.pod(ordinal)["status"]["conditions"][0]["status"] = "False".into();
    }

    pub fn container(&mut self, ordinal: u8, state: Value) {
        let container = &mut self.pod(ordinal)["status"]["containerStatuses"][0];
        container["state"] = state;
        container["ready"] = false.into();
        self.unready(ordinal);
    }

    /// Another instance is the primary.
    pub fn leads(&mut self, ordinal: u8) {
        let standbys: Vec<String> = (0..self.replicas)
            .filter(|other| *other != ordinal)
            .map(name)
            .collect();
        self.leader["leader"] = name(ordinal).into();
        self.sync = json!({"leader": name(ordinal), "sync_standby": standbys.join(","), "quorum": "1"});
        for other in 0..self.replicas {
            let (role, label) = if other == ordinal {
                ("primary", "primary")
            } else {
                ("replica", "replica")
            };
            let replication = if other == ordinal {
                Value::Null
            } else {
                "streaming".into()
            };
            self.member(other, &json!({"role": role, "replication_state": replication}));
            self.pod(other)["metadata"]["labels"]["rates.internal/role"] = label.into();
        }
    }

    pub fn observed(&self) -> Observed {
        let environment = json!({
            "apiVersion": "rates.internal/v1alpha1", "kind": "RatesEnvironment",
            "metadata": {
                "name": "pier", "namespace": "quay", "uid": "e", "annotations": self.annotations,
                "creationTimestamp": "2031-01-01T00:00:00Z",
            },
            "spec": {},
        });
        let environment = serde_json::from_value(environment).unwrap();
        let identity = Identity::of(&environment).unwrap();
        let mut observed = Observed::alone(identity, environment);
        let read = |pod: &Value| serde_json::from_value::<Pod>(pod.clone()).unwrap();
        observed.pods = self.pods.iter().map(read).collect();
        let config_map = |part: &str, annotations: &Value| -> ConfigMap {
            let mut annotations = annotations.as_object().unwrap().clone();
            annotations.retain(|_, value| !value.is_null());
            let metadata = json!({"name": format!("pier-postgres-{part}"), "resourceVersion": "7", "annotations": annotations});
            serde_json::from_value(json!({"metadata": metadata})).unwrap()
        };
        observed.config_maps = vec![
            config_map("leader", &self.leader),
            config_map("sync", &self.sync),
            config_map("failover", &self.order),
            config_map("config", &json!({"config": self.settings.to_string()})),
        ];
        let set = json!({
            "metadata": {"name": "pier-postgres", "generation": 4},
            "spec": {
                "replicas": self.replicas, "serviceName": "", "selector": {}, "template": {},
                "updateStrategy": {"type": self.strategy},
            },
            "status": {"observedGeneration": 4, "updateRevision": "now", "replicas": self.replicas},
        });
        observed.stateful_sets = vec![serde_json::from_value(set).unwrap()];
        let read = |claim: &Value| serde_json::from_value::<PersistentVolumeClaim>(claim.clone()).unwrap();
        observed.claims = self.claims.iter().map(read).collect();
        observed
    }

    pub fn plan(&self) -> Replication {
        let present = u8::try_from(self.claims.len()).unwrap();
        Replication::plan(&self.observed(), (self.wanted, present), self.runs, now())
    }
}

fn pod(ordinal: u8) -> Value {
    let is_primary = ordinal == 0;
    let mut member = json!({"state": "running", "role": "primary", "timeline": 3, "xlog_location": 5000});
    if !is_primary {
        member["role"] = "replica".into();
        member["replication_state"] = "streaming".into();
    }
    json!({
        "metadata": {
            "name": name(ordinal), "uid": format!("pod-{ordinal}"), "resourceVersion": "3",
            "labels": {
                "app.kubernetes.io/component": "postgres",
                "rates.internal/role": if is_primary { "primary" } else { "replica" },
                "controller-revision-hash": "now",
            },
            "annotations": {"status": member.to_string()},
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": "postgres", "ready": true, "image": "", "imageID": "", "restartCount": 0,
                "state": {"running": {"startedAt": "2031-01-01T00:00:00Z"}},
            }],
        },
    })
}

pub fn claim(ordinal: u8) -> Value {
    json!({"metadata": {
        "name": format!("data-{}", name(ordinal)), "uid": format!("claim-{ordinal}"),
        "creationTimestamp": "2031-01-01T00:00:01Z",
    }})
}
