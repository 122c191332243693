//! `spec.database.seed`: a union written as a struct of optional members with a rule.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What a new database holds. Exactly one member.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.bundled) ? 1 : 0) + (has(self.configMap) ? 1 : 0) == 1")
    .message("a seed has exactly one source: set either bundled or configMap; leave seed out altogether for an empty database"))]
pub struct Seed {
    /// The dump that comes with the API image: real ports and regions with made-up prices
    /// of 2021. It has no settings: write "bundled: {}".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundled: Option<Bundled>,

    /// A dump in a ConfigMap of the environment's namespace, plain SQL or gzip, as
    /// `pg_dump --no-owner --no-privileges` writes it. To make one:
    /// gzip -9 rates.sql; kubectl create configmap rates-dump --from-file=rates.sql.gz.
    /// A ConfigMap holds at most 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapSource>,
}

/// The dump that comes with the API image.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Bundled {}

/// A dump in a ConfigMap.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapSource {
    /// The ConfigMap's name, in the environment's namespace. Example: rates-dump.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub name: String,

    /// The entry of the ConfigMap's data or binaryData that holds the dump.
    /// Example: rates.sql.gz.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}
