//! `spec.database`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::metadata::EmbeddedMetadata;
use super::parameters::{DENIED, Parameters};
use super::resources::Resources;
use super::seed::Seed;

/// The PostgreSQL of an environment.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.version) && has(self.image))")
    .message("set database.version or database.image, not both: an image brings its own version"))]
pub struct Database {
    /// The PostgreSQL version, one that the operator has an image for: the exact release or
    /// the major version, as it was given to the operator. Examples: "13.5", "17".
    /// Default: "13.5". The major version cannot change later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^[1-9][0-9]?(\.[0-9]{1,3})?$"))]
    pub version: Option<String>,

    /// An image to run in place of the operator's own, built like images/postgres of this
    /// project. Example: registry.example/rates-postgres:13.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub image: Option<String>,

    /// How many PostgreSQL instances run, 1 to 3: one primary, which takes the writes, and standbys
    /// with copies of its data on volumes and nodes of their own. If the primary is lost, a standby
    /// takes over within seconds. Default for a new environment: 3 in Production, 1 in Staging and
    /// Preview; one that exists keeps its number. It can change in place, both ways; fewer instances
    /// delete the volumes of those that go. Example: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 3")
        .message("database.instances must be 1, 2 or 3: one primary and up to two standbys; write 3 to survive the loss of any node, or 1 for a database that may be away while its node is"))]
    pub instances: Option<i32>,

    /// What a commit waits for where there is more than one instance. Required: the primary
    /// acknowledges a write once a standby has it on disk too, so the loss of any one instance loses
    /// nothing that was acknowledged; while no standby answers, writes wait and reads go on.
    /// Preferred: it waits for a standby while there is one, and goes on alone while there is none;
    /// what it acknowledges alone is lost if its volume is lost then. Default: Required with three
    /// instances, Preferred with two, where the loss of the only standby would stop writes. With
    /// one instance it means nothing. Example: Required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 16))]
    #[x_kube(validation = Rule::new("self in ['Required', 'Preferred']")
        .message("database.durability must be Required or Preferred: Required to have every acknowledged write on two volumes, Preferred to go on with writes while no standby answers"))]
    pub durability: Option<Durability>,

    /// The volume that holds the data: one for each instance, in the PersistentVolumeClaim
    /// data-NAME-postgres-0, and so on.
    #[serde(default)]
    pub storage: Storage,

    /// What the PostgreSQL container asks for and may use. Default: by profile; Preview 20m and
    /// 96Mi, at most 1Gi. A change restarts the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// The containers beside PostgreSQL in its pod. Example: {roles: {resources: {limits: {cpu: 100m}}}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecars: Option<Sidecars>,

    /// Labels and annotations of the database's pods. A change restarts the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_metadata: Option<EmbeddedMetadata>,

    /// Labels and annotations of the database's Services: NAME-postgres, NAME-postgres-ro and
    /// NAME-postgres-headless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_metadata: Option<EmbeddedMetadata>,

    /// Settings of the server, as in postgresql.conf, over those of the profile; at most 64, each a
    /// number or a text. The server reloads most of them within seconds. For the others the
    /// operator restarts it, and status.database.pendingRestart names them. Parameters that run
    /// commands, load code, let others in or risk data are refused. If the server does not accept a
    /// value, the log of the container postgres says so, and the default stays in force. Example:
    /// {work_mem: 8MB, max_connections: 50}.
    #[serde(
        default,
        deserialize_with = "super::schema::null_is_absent",
        skip_serializing_if = "Parameters::is_empty"
    )]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new(DENIED[0].rule()).message(DENIED[0].message))]
    #[x_kube(validation = Rule::new(DENIED[1].rule()).message(DENIED[1].message))]
    #[x_kube(validation = Rule::new(DENIED[2].rule()).message(DENIED[2].message))]
    #[x_kube(validation = Rule::new(DENIED[3].rule()).message(DENIED[3].message))]
    pub parameters: Parameters,

    /// What the new database holds: exactly one of bundled, configMap, url,
    /// persistentVolumeClaim and environment. Without it, the database is empty, with the API's tables.
    /// It may change until status.database.seed says that it was loaded. Example: "seed: {bundled: {}}".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
}

/// What a commit waits for. A rule lists the words, as an API server takes no null where there is an enumeration.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Durability {
    Required,
    Preferred,
}

/// The containers beside PostgreSQL.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sidecars {
    /// The role manager: the container that sets the database's roles as the Secrets say.
    #[serde(default)]
    pub roles: RolesSidecar,

    /// The exporter: the container that gives a Prometheus the metrics of PostgreSQL. It is there where
    /// spec.monitoring is set and the profile is not Preview.
    #[serde(default)]
    pub exporter: ExporterSidecar,
}

/// The role manager.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolesSidecar {
    /// What the container asks for and may use. Default: 1m and 16Mi, at most 128Mi. Where
    /// database.resources is set: 50m and 64Mi, or as much as PostgreSQL asks for if that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// The exporter.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExporterSidecar {
    /// What the container asks for and may use. Default: 5m and 24Mi, at most 128Mi. Where
    /// database.resources is set: 50m and 64Mi, or as much as PostgreSQL asks for if that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// The volume that holds the data.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// The size of the volume, a quantity of bytes; at least 256Mi. Examples: 1Gi, 500Mi, 20Gi.
    /// Default: by profile, 20Gi, 5Gi or 1Gi. It may grow where the StorageClass allows it,
    /// and never shrinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20))]
    #[x_kube(validation = Rule::new("isQuantity(self) && quantity(self).compareTo(quantity('256Mi')) >= 0 && quantity(self).compareTo(quantity('64Ti')) <= 0")
        .message("database.storage.size must be a quantity of bytes from 256Mi to 64Ti, such as 1Gi or 500Mi"))]
    pub size: Option<String>,

    /// The StorageClass of the volume. Default: the cluster's default class. It cannot change
    /// once the volume was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub storage_class_name: Option<String>,

    /// Keep the volume, and the Secrets that open it, when the environment is deleted. An
    /// environment that is created later under the same name uses them again and is not seeded.
    /// Default: false, everything is deleted.
    #[serde(default)]
    pub retain: bool,
}
