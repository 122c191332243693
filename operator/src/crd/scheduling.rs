//! `spec.scheduling` and `spec.imagePullSecrets`, in the shapes that a pod's specification has.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration};
use kube::KubeSchema;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::metadata::LabelValue;

/// Where the pods of the database, of the API and of the Jobs may run, and with which priority. A
/// change replaces the pods.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scheduling {
    /// Labels that a node must have, with their values, at most 16. Default: any node.
    /// Example: {kubernetes.io/arch: amd64}.
    #[serde(
        default,
        deserialize_with = "super::schema::null_is_absent",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(extend("maxProperties" = 16))]
    pub node_selector: BTreeMap<String, LabelValue>,

    /// Taints of nodes that the pods tolerate, at most 16, as in a pod's specification. Default: none.
    /// Example: [{key: dedicated, operator: Equal, value: rates, effect: NoSchedule}].
    #[serde(
        default,
        deserialize_with = "super::schema::null_is_absent",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.all(taint, !has(taint.operator) || taint.operator in ['', 'Equal', 'Exists'])")
        .message("scheduling.tolerations: operator must be Equal (which is the default) or Exists"))]
    #[x_kube(validation = Rule::new("self.all(taint, !has(taint.effect) || taint.effect in ['', 'NoSchedule', 'PreferNoSchedule', 'NoExecute'])")
        .message("scheduling.tolerations: effect must be NoSchedule, PreferNoSchedule or NoExecute; leave it out for all of them"))]
    #[x_kube(validation = Rule::new("self.all(taint, has(taint.operator) && taint.operator == 'Exists' ? !has(taint.value) || taint.value == '' : has(taint.key) && taint.key != '')")
        .message("scheduling.tolerations: operator Exists takes no value, and Equal needs a key: remove the value, or add the key"))]
    #[x_kube(validation = Rule::new("self.all(taint, !has(taint.tolerationSeconds) || has(taint.effect) && taint.effect == 'NoExecute')")
        .message("scheduling.tolerations: tolerationSeconds goes with effect NoExecute alone: set that effect, or remove tolerationSeconds"))]
    pub tolerations: Vec<Toleration>,

    /// Which nodes and which neighbours the pods want or avoid, as in a pod's specification; see
    /// kubectl explain pod.spec.affinity. It applies beside the operator's own spreading of the
    /// API's pods over nodes and zones. Default: none. Example: {nodeAffinity:
    /// {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions:
    /// [{key: disk, operator: In, values: [ssd]}]}]}}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "affinity")]
    pub affinity: Option<Affinity>,

    /// The PriorityClass of the pods. Default: the cluster's default. Example: business-critical.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub priority_class_name: Option<String>,
}

/// Kubernetes' own schema without its texts, which would be a third of the definition.
fn affinity(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = Affinity::json_schema(generator);
    RecursiveTransform(|schema: &mut Schema| {
        schema.remove("description");
    })
    .transform(&mut schema);
    schema
}

/// A Secret of type kubernetes.io/dockerconfigjson in the environment's namespace.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImagePullSecret {
    /// The Secret's name. Example: registry-login.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    pub name: String,
}
