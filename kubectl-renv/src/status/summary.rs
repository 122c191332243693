//! What `kubectl renv status` tells of an environment. Programs get it as it is: a field that is here keeps its name
//! and meaning, and more may come.

use jiff::Timestamp;
use serde::Serialize;

use crate::environment::{Autoscaling, FailedRollout, Failovers, Schema, Seed as Loaded, Storage};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub namespace: String,
    pub name: String,
    pub profile: Option<String>,
    /// The state in one word.
    pub phase: String,
    /// Whether it serves.
    pub ready: bool,
    /// Since when it is in this phase, as far as its conditions tell.
    pub phase_since: Option<Timestamp>,
    pub message: String,
    pub url: Option<String>,
    pub created_at: Option<Timestamp>,
    /// Whether the operator has seen the last change.
    pub observed: bool,
    pub lifetime: Lifetime,
    pub database: Database,
    pub seed: Part<Loaded>,
    pub tables: Part<Schema>,
    pub api: Api,
    pub jobs: Vec<JobState>,
    pub conditions: Vec<Condition>,
    /// The last warnings of the last hour, the newest last.
    pub warnings: Vec<Warning>,
    /// Kinds that this user may not read.
    pub unread: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lifetime {
    pub ttl: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub sleep_after: Option<String>,
    pub asleep_since: Option<Timestamp>,
}

/// A part that is done once: what it came to, or how far it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part<T> {
    pub done: bool,
    /// The condition's reason and message.
    pub reason: String,
    pub message: String,
    pub since: Option<Timestamp>,
    pub result: Option<T>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    pub version: Option<String>,
    pub image: Option<String>,
    pub instances: i64,
    pub ready_instances: i64,
    pub primary: Option<String>,
    pub timeline: Option<i64>,
    pub synchronous_standbys: Option<i64>,
    pub failovers: Option<Failovers>,
    pub storage: Option<Storage>,
    pub pending_restart: Vec<String>,
    pub rotation: Option<String>,
    pub members: Vec<Member>,
}

/// An instance of the database.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    #[serde(flatten)]
    pub pod: PodState,
    /// primary or replica.
    pub role: Option<String>,
    /// As Patroni has it: running, streaming, starting and the like.
    pub state: Option<String>,
    pub timeline: Option<i64>,
    /// How many bytes of the log it has not replayed, as both last said, some seconds ago.
    pub lag_bytes: Option<i64>,
    /// Whether commits wait for it.
    pub synchronous: bool,
    pub volume: Option<Volume>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    pub claim: String,
    pub phase: String,
    pub size: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    pub image: Option<String>,
    /// The image of the pods, where it is another one: migrations or a failure keep the last one.
    pub running_image: Option<String>,
    pub replicas: i64,
    pub ready_replicas: i64,
    pub updated_replicas: i64,
    pub autoscaling: Option<Autoscaling>,
    pub failed_rollout: Option<FailedRollout>,
    pub pods: Vec<PodState>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodState {
    pub name: String,
    pub ready: bool,
    /// Pending, Running, Succeeded, Failed or Terminating; where a container waits or failed, its reason.
    pub phase: String,
    pub node: Option<String>,
    pub restarts: i32,
    pub started_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobState {
    pub name: String,
    /// seed or migrate.
    pub part: String,
    /// running, succeeded or failed.
    pub state: &'static str,
    pub started_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    pub r#type: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    pub since: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    pub object: String,
    pub reason: String,
    pub message: String,
    pub count: i32,
    pub last: Option<Timestamp>,
}
