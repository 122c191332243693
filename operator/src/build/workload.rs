//! A part of an environment that runs as a Deployment: its objects, of which only the pods differ from part to part.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec,
};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::children::{Children, DeploymentChild};
use super::{access, disruption_budget, network_policies, pod, services};
use crate::identity::Component;
use crate::plan::{Autoscaler, Disruption, Environment, Metadata, Scale};

/// After that long without a step forward a rollout counts as stuck: an image to be pulled, and the
/// time that a pod has to start.
const DEADLINE_SECONDS: i32 = 300;

pub struct Workload<'a> {
    pub environment: &'a Environment,
    pub component: Component,
    /// Of all its objects.
    pub name: String,
    pub scale: &'a Scale,
    /// How many pods a rollout adds.
    pub max_surge: &'a IntOrString,
    pub disruption: Disruption,
    /// What people give to its pods and its Service.
    pub pod_metadata: &'a Metadata,
    pub service_metadata: &'a Metadata,
    /// At which anybody may reach its pods.
    pub ports: &'a [i32],
    /// At which its pods give their metrics.
    pub metrics: i32,
    /// Once there is something to run.
    pub pods: Option<Pods>,
}

/// The pods of a Deployment.
pub struct Pods {
    /// Of the Deployment itself.
    pub annotations: Option<BTreeMap<String, String>>,
    /// Of the pods: what replaces them where it changes.
    pub marks: BTreeMap<String, String>,
    pub spec: PodSpec,
}

impl Workload<'_> {
    /// Adds all objects of the part.
    pub fn add_to(mut self, children: &mut Children) {
        let account = access::account(self.environment, self.name.clone(), self.component);
        children.service_accounts.push(account);
        children.services.push(self.service());
        let policy = network_policies::of_clients(
            self.environment,
            self.name.clone(),
            self.component,
            self.ports,
            self.metrics,
        );
        children.network_policies.push(policy);
        children.disruption_budgets.push(self.disruption_budget());
        let Some(pods) = self.pods.take() else {
            return;
        };
        children.deployments.push(DeploymentChild {
            deployment: self.deployment(pods),
            scale: self.scale.clone(),
        });
        if let Scale::Automatic(autoscaler) = self.scale {
            children.autoscalers.push(self.autoscaler(autoscaler));
        }
    }

    fn metadata(&self) -> ObjectMeta {
        self.environment
            .identity
            .metadata(self.name.clone(), self.component)
    }

    fn selector(&self) -> LabelSelector {
        LabelSelector {
            match_labels: Some(self.environment.identity.selector(self.component)),
            ..LabelSelector::default()
        }
    }

    /// Pods are replaced one by one, without a request lost.
    fn deployment(&self, pods: Pods) -> Deployment {
        let replicas = match self.scale {
            Scale::Fixed(replicas) => Some(*replicas),
            // The autoscaler's.
            Scale::Automatic(_) => None,
        };
        Deployment {
            metadata: ObjectMeta {
                annotations: pods.annotations,
                ..self.metadata()
            },
            spec: Some(DeploymentSpec {
                replicas,
                // What the proxies of the nodes need to notice a pod.
                min_ready_seconds: Some(1),
                progress_deadline_seconds: Some(DEADLINE_SECONDS),
                revision_history_limit: Some(3),
                selector: self.selector(),
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: Some(self.max_surge.clone()),
                        max_unavailable: Some(IntOrString::Int(0)),
                    }),
                }),
                template: PodTemplateSpec {
                    metadata: Some(pod::metadata(
                        self.environment,
                        self.component,
                        self.pod_metadata,
                        pods.marks,
                    )),
                    spec: Some(pods.spec),
                },
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        }
    }

    fn service(&self) -> Service {
        let selector = self.environment.identity.selector(self.component);
        services::service(
            self.metadata(),
            self.service_metadata,
            services::spec(selector, "http", 80),
        )
    }

    /// The autoscaler, which owns the number of pods where there is one.
    fn autoscaler(&self, autoscaler: &Autoscaler) -> HorizontalPodAutoscaler {
        HorizontalPodAutoscaler {
            metadata: self.metadata(),
            spec: Some(HorizontalPodAutoscalerSpec {
                scale_target_ref: CrossVersionObjectReference {
                    api_version: Some("apps/v1".to_owned()),
                    kind: "Deployment".to_owned(),
                    name: self.name.clone(),
                },
                min_replicas: Some(autoscaler.min),
                max_replicas: autoscaler.max,
                metrics: Some(autoscaler.metrics.clone()),
                behavior: Some(autoscaler.behavior.clone()),
            }),
            ..HorizontalPodAutoscaler::default()
        }
    }

    fn disruption_budget(&self) -> PodDisruptionBudget {
        let at_once = match self.disruption {
            Disruption::One => IntOrString::Int(1),
            Disruption::All => IntOrString::String("100%".to_owned()),
        };
        disruption_budget::build(self.environment, self.name.clone(), self.component, at_once)
    }
}
