//! `spec.jobs`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::metadata::EmbeddedMetadata;
use super::resources::Resources;

/// The Jobs that seed the database and migrate its tables. If these fields, scheduling or
/// imagePullSecrets change, the operator replaces a Job that has not ended.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Jobs {
    /// What each container of the Jobs (dump, load, publish, migrate) asks for and may use.
    /// Default: load 20m and 64Mi, at most 512Mi; the others 10m and 32Mi, at most 256Mi. Where
    /// api.resources is set, dump, publish and migrate ask for 50m and 64Mi, or for as much as the
    /// API's container if that is less. Where database.resources is set, the same holds for load
    /// and PostgreSQL's container. Load and publish run at the same time, so their pod asks for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Labels and annotations of the Jobs' pods. Example, for a mesh whose sidecar does not end by
    /// itself: {labels: {sidecar.istio.io/inject: "false"}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_metadata: Option<EmbeddedMetadata>,
}
