//! Labels and annotations that people give to pods and Services.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// That labels leave alone what the operator and Kubernetes select by.
pub(super) const OWN_LABELS: &str = "self.all(key, !key.startsWith('rates.internal/') && !(key in ['app.kubernetes.io/name', \
    'app.kubernetes.io/instance', 'app.kubernetes.io/component', 'app.kubernetes.io/managed-by', 'pod-template-hash', \
    'controller-revision-hash']))";
pub(super) const OWN_LABELS_MESSAGE: &str = "labels must not set what the operator and Kubernetes select by \
    (app.kubernetes.io/name, /instance, /component and /managed-by, pod-template-hash, controller-revision-hash, \
    rates.internal/…): choose another key, such as team";

/// Labels and annotations beside the operator's own.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddedMetadata {
    /// Labels, at most 16. Example: {team: pricing}.
    #[serde(
        default,
        deserialize_with = "super::schema::null_is_absent",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new(OWN_LABELS).message(OWN_LABELS_MESSAGE))]
    pub labels: BTreeMap<String, LabelValue>,

    /// Annotations, at most 16, each of at most 4096 characters. Example:
    /// {cluster-autoscaler.kubernetes.io/safe-to-evict: "true"}.
    #[serde(
        default,
        deserialize_with = "super::schema::null_is_absent",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('rates.internal/'))")
        .message("annotations must not begin with rates.internal/, which is the operator's own: choose another key"))]
    pub annotations: BTreeMap<String, AnnotationValue>,
}

/// The value of a label.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(transparent)]
pub struct LabelValue(
    #[schemars(
        length(max = 63),
        regex(pattern = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
    )]
    pub String,
);

/// The value of an annotation.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(transparent)]
pub struct AnnotationValue(#[schemars(length(max = 4096))] pub String);
