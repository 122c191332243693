//! `spec.database.seed`: a union written as a struct of optional members with a rule.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What a new database holds. Exactly one member.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.bundled) ? 1 : 0) + (has(self.configMap) ? 1 : 0) + (has(self.url) ? 1 : 0) + (has(self.persistentVolumeClaim) ? 1 : 0) + (has(self.environment) ? 1 : 0) == 1")
    .message("a seed has exactly one source: set one of bundled, configMap, url, persistentVolumeClaim and environment; leave seed out altogether for an empty database"))]
pub struct Seed {
    /// The dump that comes with the API image: real ports and regions with made-up prices
    /// of 2021. It has no settings: write "bundled: {}".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundled: Option<Bundled>,

    /// A dump in a ConfigMap of the environment's namespace, plain SQL or gzip, as `pg_dump
    /// --no-owner --no-privileges` writes it. It must not contain psql commands (lines that begin
    /// with a backslash) or CREATE DATABASE. To make one: gzip -9 rates.sql; kubectl create
    /// configmap rates-dump --from-file=rates.sql.gz. A ConfigMap holds at most 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapSource>,

    /// A dump to fetch over https, plain SQL or gzip. The seed Job loads it only after it verified
    /// the checksum. It fetches from public addresses only, also after redirects, and at most as
    /// much as the database's volume holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<UrlSource>,

    /// A dump in a PersistentVolumeClaim of the environment's namespace, plain SQL or gzip. The
    /// seed Job mounts it read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimSource>,

    /// A copy of a running environment's data, as they are at one moment: its ports, regions and
    /// prices, and no batches. That environment has to allow it in spec.sharing, which also says what
    /// is left out and masked. It is made once; what changes there later does not come here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentSource>,
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

/// A dump that is fetched.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UrlSource {
    /// The https URL of the dump, without a user name. It may redirect to another public host.
    /// Example: `https://dumps.example/rates.sql.gz`.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https://([A-Za-z0-9.-]+|[[][0-9a-fA-F:.]+[]])(:[0-9]{1,5})?(/[!-~]*)?$')")
        .message("database.seed.url.url must be an https URL with a host and a path, without a user name or blanks, such as https://dumps.example/rates.sql.gz"))]
    #[x_kube(validation = Rule::new("!self.matches('^https://(localhost|[^.:/[]+|[^:/]*[.](local|localhost|internal|svc|svc[.]cluster[.]local)|(0|10|127|169[.]254|192[.]168)[.][0-9.]+)[.]?(:|/|$)')")
        .message("database.seed.url.url must name a public host: names and addresses inside a cluster or a private network are not fetched from"))]
    pub url: String,

    /// The SHA-256 of the file as it is served, 64 hex digits in lower case, as sha256sum prints it.
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-f]{64}$')")
        .message("database.seed.url.sha256 must be 64 hex digits in lower case, as sha256sum prints them for the file"))]
    pub sha256: String,
}

/// A dump in a PersistentVolumeClaim.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimSource {
    /// The PersistentVolumeClaim's name, in the environment's namespace. Example: dumps.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub claim_name: String,

    /// The file in that volume. Example: 2026/rates.sql.gz.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[^/[:cntrl:]]+(/[^/[:cntrl:]]+)*$') && self.split('/').all(part, part != '..' && part != '.')")
        .message("database.seed.persistentVolumeClaim.path must be the path of a file in the volume, without a leading slash and without '..', such as 2026/rates.sql.gz"))]
    pub path: String,
}

/// A running environment whose data are copied.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentSource {
    /// The environment's name. Example: staging.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z]([a-z0-9-]*[a-z0-9])?$"))]
    pub name: String,

    /// The environment's namespace. Default: that of the environment that makes the copy.
    /// Example: rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub namespace: Option<String>,
}
