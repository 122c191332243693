//! `spec.api.config` and `spec.api.env`: what the API's process is told.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The API's own settings.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Seconds that a request may wait for the database before it is answered with 503, 1 to
    /// 300. Default: 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub request_timeout_seconds: Option<i32>,

    /// Seconds that a query on a shared connection may take, 1 to 300; a connection that is silent
    /// for longer is replaced. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub query_timeout_seconds: Option<i32>,

    /// Seconds that making a connection to the database may take, 1 to 60. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 60))]
    pub connect_timeout_seconds: Option<i32>,

    /// Connections to the database that all reads of a pod share, 1 to 64; each has many queries
    /// under way at once. Default: 3. The database's `max_connections` (100; Production: 200) must be
    /// enough for all pods. Each pod uses these, two for each of maxBatches, and six more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub read_connections: Option<i32>,

    /// Bytes of each pod's cache of responses to GET /rates, 0 to 17179869183 (16Gi); 0: no cache.
    /// A cached response is used only while it is exact. Default: 16777216 (16Mi). Leave room for
    /// the cache in api.resources.limits.memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 17_179_869_183_i64))]
    pub answer_cache_bytes: Option<i64>,

    /// Batches that a pod takes in at once, 1 to 64; each may take 30 MiB. More wait.
    /// Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub max_batches: Option<i32>,

    /// Bytes that a batch may have after decompression, 1 to 1099511627776 (1Ti). Default:
    /// 4294967296 (4Gi).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_099_511_627_776_i64))]
    pub max_batch_bytes: Option<i64>,

    /// Rows that a batch may have, 1 to 10000000000. Default: 20000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000_000_i64))]
    pub max_batch_rows: Option<i64>,

    /// Seconds that a client may send nothing in the middle of a batch, 1 to 3600. Default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub body_timeout_seconds: Option<i32>,

    /// Seconds without a sign of life after which a pod's batch counts as abandoned and may be sent
    /// again, 1 to 3600. Default: 15.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub lease_seconds: Option<i32>,

    /// Hours for which the API remembers the Idempotency-Key of a batch, from the batch's
    /// beginning, 1 to 8760 (a year). Default: 24.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8760))]
    pub idempotency_hours: Option<i32>,

    /// Connections of callers that a pod serves at once, 1 to 1000000; more wait to be accepted.
    /// Default: 4096.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: Option<i32>,

    /// Seconds that a caller's connection may be idle, or take to send the head of a request, 1 to
    /// 3600. Default: 75. A proxy in front must close its idle connections earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub idle_timeout_seconds: Option<i32>,

    /// Beginnings of the User-Agent of monitors, separated by commas: their requests do not keep an
    /// environment with lifetime.sleepAfter awake. Default: none. Example: Blackbox Exporter/,GoogleHC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub idle_user_agents: Option<String>,

    /// What is logged: a level (error, warn, info, debug, trace or off), or levels by module,
    /// separated by commas. Default: `info,tokio_postgres=warn`. Example:
    /// `info,rates_api::access=warn` logs no line for each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^([a-z0-9_]+(::[a-z0-9_]+)*=)?(error|warn|info|debug|trace|off)(,([a-z0-9_]+(::[a-z0-9_]+)*=)?(error|warn|info|debug|trace|off))*$')")
        .message("api.config.log must be a level (error, warn, info, debug, trace or off), or levels by module such as info,rates_api::access=warn"))]
    pub log: Option<String>,
}

/// A variable of the API's containers: a value, or where it comes from.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.value) != has(self.valueFrom)")
    .message("a variable of api.env has exactly one of value and valueFrom"))]
pub struct EnvVar {
    /// The name: letters, digits and '_', and no digit first. Names that begin with `RATES_` are
    /// refused: they are the API's settings, which belong in api.config. Example: TZ.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    #[x_kube(validation = Rule::new("!self.startsWith('RATES_')")
        .message("api.env cannot set variables that begin with RATES_: set the API's settings in api.config"))]
    pub name: String,

    /// Its value, at most 4096 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub value: Option<String>,

    /// Where its value comes from: exactly one of secretKeyRef and configMapKeyRef. It is read
    /// when a pod starts; a later change of it replaces no pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvVarSource>,
}

/// Where a value comes from.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)")
    .message("valueFrom has exactly one of secretKeyRef and configMapKeyRef"))]
pub struct EnvVarSource {
    /// An entry of a Secret in the environment's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,

    /// An entry of a ConfigMap in the environment's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

/// An entry of a Secret or ConfigMap. Pods start only once it is there.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// The name of the Secret or ConfigMap.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub name: String,

    /// The key of the entry.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}
