//! `spec.api`.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::autoscaling::Autoscaling;
use super::config::{Config, EnvVar};
use super::metadata::EmbeddedMetadata;
use super::resources::Resources;

/// The rates API of an environment: the Deployment NAME-api behind the Service NAME-api, port 80.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
    .message("set api.replicas or api.autoscaling, not both: an autoscaler owns the number of replicas"))]
pub struct Api {
    /// An image to run in place of the operator's own. Default: the operator's, pinned in
    /// status.api.image, so that a new operator does not restart every environment.
    /// Example: registry.example/rates-api:2026-11-22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[^\s]+$"))]
    pub image: Option<String>,

    /// How many API pods run, 1 to 100. Default: by profile: Staging 2, Preview 1; Production
    /// scales by itself from 3 to 10, which a number here turns off. Not together with
    /// autoscaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub replicas: Option<i32>,

    /// Let the number of API pods follow the load, with a HorizontalPodAutoscaler
    /// (autoscaling/v2). Not together with replicas. Default: Production from 3 to 10 pods at 80
    /// percent of their CPU request; the others have a fixed number.
    /// Example: {minReplicas: 2, maxReplicas: 6}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,

    /// How API pods are replaced.
    #[serde(default)]
    pub rollout: Rollout,

    /// The API's own settings. Each has the name of its variable: requestTimeoutSeconds is
    /// `RATES_REQUEST_TIMEOUT_SECONDS`. A field that is not set keeps the image's default, which is
    /// given below. A change replaces the pods, one after the other and without a failed request.
    /// Example: {maxBatches: 6, log: debug}.
    #[serde(default)]
    pub config: Config,

    /// Variables for the API's containers beside its settings, at most 64, by name. Example:
    /// [{name: TZ, value: Europe/Tallinn}].
    #[serde(
        default,
        deserialize_with = "super::schema::null_is_absent",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub env: Vec<EnvVar>,

    /// What an API pod asks for and may use. Default: by profile; Preview 5m and 24Mi, at most 256Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Labels and annotations of the API's pods. A change replaces them, one after the other and
    /// without a failed request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_metadata: Option<EmbeddedMetadata>,

    /// Labels and annotations of the Service NAME-api.
    /// Example: {annotations: {service.kubernetes.io/topology-mode: Auto}}.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_metadata: Option<EmbeddedMetadata>,
}

/// How API pods are replaced.
#[derive(KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Seconds that a pod goes on serving as before after it was told to end, so that every proxy
    /// and load balancer can notice that it left; 0 to 600. Default: 5, enough inside a cluster;
    /// outside load balancers may need 30.
    #[serde(default = "five")]
    #[schemars(range(min = 0, max = 600))]
    pub propagation_seconds: i32,

    /// Seconds that a batch may take, from its first byte, 1 to 86400 (a day). A batch that takes
    /// longer is undone and refused, and can be sent again. A pod that is told to end gets this
    /// time to finish the batches that it has begun. Default: by profile: Preview 60, the others
    /// 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub max_batch_seconds: Option<i32>,

    /// How many pods a rollout starts beside those that serve, 1 to 100 or a percentage of them,
    /// "1%" to "100%"; no pod goes before its successor is ready. Default: 1.
    #[serde(default = "one_pod")]
    #[x_kube(validation = Rule::new("type(self) == int ? self >= 1 && self <= 100 : self.matches('^([1-9][0-9]?|100)%$')")
        .message("api.rollout.maxSurge must be a number of pods from 1 to 100, or a percentage from \"1%\" to \"100%\""))]
    pub max_surge: IntOrString,

    /// What happens when the pods of a new image, config, env or resources do not work. Hold: the
    /// old pods go on serving, Kubernetes keeps trying the new ones, and the status says why.
    /// `RollBack`: the old image, config, env and resources are put back, and stay until these
    /// fields change. Default: Hold.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// What happens when new pods do not work.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum OnFailure {
    #[default]
    Hold,
    RollBack,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            propagation_seconds: five(),
            max_batch_seconds: None,
            max_surge: one_pod(),
            on_failure: OnFailure::default(),
        }
    }
}

fn five() -> i32 {
    5
}

fn one_pod() -> IntOrString {
    IntOrString::Int(1)
}
