//! The `RatesEnvironment` as people write it: types, defaults and the rules the API server
//! applies. Doc comments here are what `kubectl explain` prints.
//!
//! Knows nothing of what an environment becomes in the cluster; that begins in `plan`.

mod api;
mod autoscaling;
mod config;
mod database;
mod expose;
mod jobs;
mod lifetime;
mod metadata;
mod monitoring;
mod parameters;
mod profile;
mod resources;
mod rules;
mod scheduling;
mod schema;
mod seed;
mod sharing;
mod status;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt, KubeSchema};
use serde::{Deserialize, Serialize};

pub use api::{Api, OnFailure, Rollout};
pub use autoscaling::{
    Autoscaling, Behavior, ContainerMetric, DescribedObject, ExternalMetric, Label, Metric, MetricIdentifier,
    MetricKind, ObjectMetric, PodsMetric, PolicyKind, ResourceMetric, ResourceName, ScalingPolicy,
    ScalingRules, SelectPolicy, Selector, Target, TargetKind,
};
pub use config::{Config, EnvVar, EnvVarSource, KeyRef};
pub use database::{Database, Durability, ExporterSidecar, RolesSidecar, Sidecars, Storage};
pub use expose::{Expose, Gateway, Ingress};
pub use jobs::Jobs;
pub use lifetime::{Lifetime, SleepStatus};
pub use metadata::{AnnotationValue, EmbeddedMetadata, LabelValue};
pub use monitoring::Monitoring;
pub use parameters::{Denied, Parameter, Parameters};
pub use profile::Profile;
pub use resources::{Amounts, Resources};
pub use scheduling::{ImagePullSecret, Scheduling};
pub use seed::{Bundled, ClaimSource, ConfigMapSource, EnvironmentSource, Seed, UrlSource};
pub use sharing::{DaysMask, Mask, NamesMask, PricesMask, ReaderNamespace, Sharing};
pub use status::{
    ApiStatus, AutoscalingStatus, Copied, CopiedRows, CopyStatus, DatabaseStatus, FailedRollout, Failovers,
    Phase, RatesEnvironmentStatus, Revision, SchemaStatus, SeedStatus, StorageStatus,
};

/// The PostgreSQL version of an environment that names none: the one the company runs.
pub const DEFAULT_POSTGRES_VERSION: &str = "13.5";

/// What the environment should be. Everything has a default; a useful beginning is "database:
/// {seed: {bundled: {}}}", which brings data.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[kube(
    group = "rates.internal",
    version = "v1alpha1",
    kind = "RatesEnvironment",
    namespaced,
    status = "RatesEnvironmentStatus",
    derive = "PartialEq",
    shortname = "renv",
    category = "rates",
    doc = "A freight-rates system of its own: a seeded PostgreSQL and the rates API in front of it. The smallest useful one: {apiVersion: rates.internal/v1alpha1, kind: RatesEnvironment, metadata: {name: pr-42}, spec: {database: {seed: {bundled: {}}}}}. Deleting the object deletes everything it made; with spec.database.storage.retain the volume and the Secrets that open it stay.",
    scale(
        spec_replicas_path = ".spec.api.replicas",
        status_replicas_path = ".status.api.replicas",
        label_selector_path = ".status.api.selector"
    ),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Database",
        type_ = "integer",
        description = "Ready PostgreSQL instances",
        json_path = ".status.database.readyInstances"
    ),
    printcolumn(
        name = "API",
        type_ = "integer",
        description = "Ready API pods",
        json_path = ".status.api.readyReplicas"
    ),
    printcolumn(
        name = "Seed",
        type_ = "string",
        description = "How far the seed is",
        json_path = ".status.conditions[?(@.type==\"Seeded\")].reason"
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        description = "Where the API answers",
        json_path = ".status.url"
    ),
    printcolumn(
        name = "Expires",
        type_ = "string",
        description = "When it is deleted, by lifetime.ttl",
        json_path = ".status.expiresAt"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        description = "What is going on",
        json_path = ".status.message",
        priority = 1
    ),
    validation = Rule::new(rules::NAME)
        .message("metadata.name must have at most 40 characters: a lower-case letter first, then lower-case letters, digits and '-', and no '-' at the end"),
    validation = Rule::new(rules::SEED).message("spec.database.seed cannot change once the database was seeded: put the old seed back, or create another environment for other data"),
    validation = Rule::new(rules::COPY_OF_ITSELF).message("spec.database.seed.environment names this environment itself: name another one, and its namespace if it is in another one"),
    validation = Rule::new(rules::SIZE).message("spec.database.storage.size cannot shrink: a volume only grows; give at least what status.database.storage.size shows"),
    validation = Rule::new(rules::STORAGE_CLASS).message("spec.database.storage.storageClassName cannot change once the volume was created: put the old value back, or create another environment"),
    validation = Rule::new(rules::VERSION).message("spec.database.version cannot change its major version once the database was created, as its files have that version's format: create another environment with the new version"),
    validation = Rule::new(rules::SLEEP).message("spec.lifetime.sleepAfter is not for the profile Production, whose environments always run: leave it out, or choose Staging or Preview")
)]
#[serde(rename_all = "camelCase")]
pub struct RatesEnvironmentSpec {
    /// What the environment is for: the defaults of what follows. Production: 3 to 10 API
    /// replicas by their load, spread over zones, and 3 database instances with 20Gi volumes;
    /// Staging: 2 replicas, and 1 instance with 5Gi; Preview: 1 and 1 with 1Gi. Default: Preview.
    /// A later change touches only what can still change: the size of an existing volume and the
    /// number of database instances stay, the number of replicas follows.
    #[serde(default)]
    pub profile: Profile,

    /// The PostgreSQL of this environment: the database rates, served at the Service
    /// NAME-postgres, port 5432, with the login in the Secret NAME-postgres.
    #[serde(default)]
    pub database: Database,

    /// The rates API of this environment: the Deployment NAME-api behind the Service NAME-api, port
    /// 80. Writing batches needs the token in the Secret NAME-api, key ingest-token.
    #[serde(default)]
    pub api: Api,

    /// Where the API answers outside of the cluster: a host, and exactly one of gateway and ingress.
    /// Default: inside the cluster alone, at the Service NAME-api.
    /// Example: {host: pr-42.rates.example, gateway: {name: public, namespace: gateways}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose: Option<Expose>,

    /// How a Prometheus collects the metrics of this environment. With it, in the profiles Production
    /// and Staging, each database pod has a container exporter with PostgreSQL's own metrics, and the
    /// ports of metrics are open to the operator's monitoring namespaces. To add it or to take it away
    /// restarts the database of these profiles. Default: none. For PodMonitors without labels of their
    /// own: "monitoring: {}". Example: {labels: {release: prometheus}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,

    /// The Jobs that seed the database and migrate its tables. Example: {resources: {limits: {memory: 1Gi}}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<Jobs>,

    /// Where the pods of the database, of the API and of the Jobs may run. Default: anywhere.
    /// Example: {nodeSelector: {pool: databases}, tolerations: [{key: pool, operator: Exists}]}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,

    /// Secrets in the environment's namespace with which the images of all its pods are pulled, at
    /// most 8. Default: none. Example: [{name: registry-login}].
    #[serde(
        default,
        deserialize_with = "schema::null_is_absent",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub image_pull_secrets: Vec<ImagePullSecret>,

    /// Who may copy this environment's data with spec.database.seed.environment, and how masked, at most 8
    /// entries; the first that names the reader's namespace counts. A change holds for later copies: those that
    /// exist stay as they are. Default: nobody. Example: [{namespaces: [previews], sample: 10, mask: {prices: {noise: 20}}}].
    #[serde(
        default,
        deserialize_with = "schema::null_is_absent",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 8))]
    pub sharing: Vec<Sharing>,

    /// Whether the operator makes NetworkPolicies. With them only this environment's API and Jobs
    /// reach the database, and pods reach only what they need. Your own policies beside these can
    /// allow more. false: none, for a cluster whose policies come from elsewhere. Default: true.
    #[serde(default = "yes")]
    pub network_policies: bool,

    /// When the environment sleeps by itself, and when it is deleted. Default: it runs and lives until
    /// somebody stops or deletes it. Example: {ttl: 72h, sleepAfter: 2h}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Lifetime>,

    /// Stop the environment and keep its data: true ends the API's pods, then the database, and
    /// starts no Job; false starts the database, then the API, with as few pods as it may have.
    /// Default: false. Example: kubectl patch renv/NAME --type=merge -p '{"spec": {"suspend": true}}'.
    #[serde(default)]
    pub suspend: bool,
}

impl Default for RatesEnvironmentSpec {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            database: Database::default(),
            api: Api::default(),
            expose: None,
            monitoring: None,
            jobs: None,
            scheduling: None,
            image_pull_secrets: Vec::new(),
            sharing: Vec::new(),
            network_policies: yes(),
            lifetime: None,
            suspend: false,
        }
    }
}

fn yes() -> bool {
    true
}

/// The definition to install in a cluster, as `crds/` holds it.
#[must_use]
pub fn definition() -> CustomResourceDefinition {
    schema::tidy(RatesEnvironment::crd())
}

/// The definition as YAML, with a line that says where it comes from.
pub fn definition_yaml() -> Result<String, serde_yaml::Error> {
    let yaml = serde_yaml::to_string(&definition())?;
    Ok(format!(
        "# Generated from operator/src/crd by `rates-operator crd`; the tests compare it.\n{yaml}"
    ))
}
