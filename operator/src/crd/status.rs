//! `status`: what is, written by the operator alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::config::{Config, EnvVar};
use super::lifetime::SleepStatus;
use super::profile::Profile;
use super::resources::Resources;

/// The state of the environment, as the operator last saw it.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RatesEnvironmentStatus {
    /// The state in one word. Pending: the database is not there yet; Seeding: its data is
    /// being loaded; Progressing: a change is on its way; Ready: everything is as specified;
    /// Degraded: something failed, message says what; Suspended: stopped, with its data kept;
    /// Asleep: stopped until somebody uses it, with its data kept; Queued: it waits until it may
    /// run; Terminating: being deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,

    /// What is going on, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,

    /// Where the API answers: spec.expose's host, else the Service. https only where a
    /// certificate is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,

    /// The profile whose defaults are in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,

    /// The metadata.generation this status belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseStatus>,

    /// The API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiStatus>,

    /// When the environment is deleted, by spec.lifetime.ttl.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,

    /// The sleep of the environment, from its beginning until it serves again; absent while it is awake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep: Option<SleepStatus>,

    /// Which sleep a request ended: the status.sleep.since of it. The activator writes it, nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub wake_request: Option<String>,

    /// Ready: the environment serves requests. Progressing: a change is on its way. Reconciled:
    /// every object is as specified; false says what is wrong, also while Ready is true.
    /// `HighlyAvailable`: if the primary of the database were lost, nothing that was acknowledged would
    /// be, and another instance could take over at once; the message says what is missing. The others
    /// are about the database, its data, its tables, the API, with spec.expose the way in from
    /// outside, and with spec.monitoring whether its metrics can be collected. To wait for one: kubectl wait --for=condition=Ready renv/NAME.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// The state in one word.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Phase {
    Pending,
    Seeding,
    Progressing,
    Ready,
    Degraded,
    Suspended,
    Asleep,
    Queued,
    Terminating,
}

/// The database as it is.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStatus {
    /// The pod that takes writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,

    /// The timeline of the primary's data, one more with each promotion of a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<i64>,

    /// How many instances are wanted: the spec's number, else the one that the environment was
    /// created with.
    #[serde(default)]
    pub instances: i32,

    /// How many instances are ready.
    #[serde(default)]
    pub ready_instances: i32,

    /// How many standbys have everything that was acknowledged and stream from the primary, as far
    /// as commits wait for them; absent with one instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synchronous_standbys: Option<i32>,

    /// The changes of the primary, failovers and switchovers; absent until there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failovers: Option<Failovers>,

    /// The PostgreSQL version, pinned when the volume was created; of an image of one's own, as its
    /// server reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub version: Option<String>,

    /// The image that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// The operator's image for that version when the environment was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_image: Option<String>,

    /// The volume, pinned when it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageStatus>,

    /// What was loaded; absent until it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<SeedStatus>,

    /// The parameters for which the operator restarts the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending_restart: Vec<String>,

    /// How far a rotation of the application's password is; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<String>,

    /// The tables' version; absent until they were migrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaStatus>,

    /// The environments that copy this one's data, or have a copy of them; at most the first 100 by
    /// namespace and name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["environment"])
    )]
    pub copies: Vec<CopyStatus>,
}

/// An environment with a copy of this one's data.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyStatus {
    /// The environment, NAMESPACE/NAME.
    pub environment: String,

    /// Whether the copy is complete. false: it is being made.
    #[serde(default)]
    pub complete: bool,

    /// Whether spec.sharing still names its namespace. A copy that exists stays when it does not.
    #[serde(default)]
    pub shared: bool,
}

/// How often another instance became the primary.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failovers {
    /// How many times, in order or not.
    #[serde(default)]
    pub count: i64,

    /// When the last one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Time>,
}

/// The volume as it is.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageStatus {
    /// The size that was asked for.
    #[schemars(length(max = 20))]
    pub size: String,

    /// The StorageClass it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,

    /// The uid of the volume's PersistentVolumeClaim. A claim with another uid is another, empty
    /// database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_uid: Option<String>,

    /// When the volume replaced one that was lost; absent if that never happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_at: Option<Time>,
}

/// What was loaded into the database.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeedStatus {
    /// Where it came from: bundled, configMap:NAME/KEY, url:URL,
    /// persistentVolumeClaim:NAME/PATH, environment:NAMESPACE/NAME, or none for an empty database.
    pub source: String,

    /// sha256: and the hex digest of the uncompressed dump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,

    /// How many prices it brought.
    #[serde(default)]
    pub rows: i64,

    /// How long the loading took.
    #[serde(default)]
    pub seconds: f64,

    /// The uid of the claim it was loaded into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_uid: Option<String>,

    /// What of another environment was copied; absent for other seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
}

/// What of another environment was copied.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Copied {
    /// The source's position in its write-ahead log, of which the copy has everything before and
    /// nothing after. Example: 0/5A3F2C8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,

    /// When that was, by the source's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,

    /// How many rows were copied.
    #[serde(default)]
    pub rows: CopiedRows,

    /// What was masked. Empty: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<String>,

    /// How many percent of the pairs of ports were copied; absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<i32>,
}

/// How many rows of each table were copied.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopiedRows {
    /// Of ports.
    #[serde(default)]
    pub ports: i64,

    /// Of regions.
    #[serde(default)]
    pub regions: i64,

    /// Of prices.
    #[serde(default)]
    pub prices: i64,
}

/// The tables' version.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaStatus {
    /// The number of the last migration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,

    /// The API image whose migrations were run.
    pub image: String,

    /// The uid of the claim that holds the migrated database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_uid: Option<String>,
}

/// The API as it is.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiStatus {
    /// The image that should run: the spec's, or the operator's default when the environment was
    /// created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// The operator's default image when the environment was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_image: Option<String>,

    /// How many pods there are. While another number is wanted, message says so.
    #[serde(default)]
    pub replicas: i32,

    /// How many of them are ready.
    #[serde(default)]
    pub ready_replicas: i32,

    /// How many of them run the current specification.
    #[serde(default)]
    pub updated_replicas: i32,

    /// The autoscaler that is in force; absent where the number of pods is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<AutoscalingStatus>,

    /// What each pod asks for and may use: the spec's amounts, completed by the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// The label selector of the API's pods, for autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,

    /// Seconds that a pod may take to end, its terminationGracePeriodSeconds:
    /// rollout.propagationSeconds, then rollout.maxBatchSeconds and the time of a request, and
    /// a margin. Most need far less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_budget_seconds: Option<i32>,

    /// The revision that the pods have, or that a rollout brings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,

    /// The revision of the last complete rollout, if it is not the one above. With
    /// rollout.onFailure: `RollBack` the operator goes back to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_complete_revision: Option<Revision>,

    /// The rollout that was rolled back; absent if there was none, and once the specification has
    /// changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_rollout: Option<FailedRollout>,
}

/// What a rollout of the API changes.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The image.
    pub image: String,

    /// The settings that are set.
    #[serde(default)]
    pub config: Config,

    /// The variables beside the settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub env: Vec<EnvVar>,

    /// What a pod asks for and may use, where the specification says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// A rollout that was rolled back.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedRollout {
    /// The digest of the revision that failed.
    pub revision: String,

    /// Why, in a word.
    pub reason: String,

    /// Why, in a sentence.
    pub message: String,
}

/// The range that the autoscaler keeps to.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoscalingStatus {
    /// The fewest pods.
    pub min_replicas: i32,

    /// The most pods.
    pub max_replicas: i32,
}
