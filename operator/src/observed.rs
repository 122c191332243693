//! What a reconcile knows of an environment: the object itself and everything that exists under its labels.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;

use crate::annotations::FOLLOW_IMAGES;
use crate::copies::{Reader, Source};
use crate::crd::RatesEnvironment;
use crate::http_route::HTTPRoute;
use crate::identity::Identity;
use crate::pod_monitor::PodMonitor;
use crate::refusals::Refusals;
use crate::surroundings::Surroundings;

/// An environment and everything that exists under its labels. Not `Debug`: it holds Secrets.
#[derive(Clone)]
pub struct Observed {
    pub identity: Identity,
    pub environment: RatesEnvironment,
    /// As many previews run as may: it is not to start.
    pub waits_for_turn: bool,
    pub app_secret: Option<Secret>,
    pub admin_secret: Option<Secret>,
    pub migrator_secret: Option<Secret>,
    pub token_secret: Option<Secret>,
    /// Of the login with which another environment's data are copied.
    pub copy_secret: Option<Secret>,
    pub config_maps: Vec<ConfigMap>,
    pub service_accounts: Vec<ServiceAccount>,
    pub roles: Vec<Role>,
    pub role_bindings: Vec<RoleBinding>,
    pub claims: Vec<PersistentVolumeClaim>,
    pub services: Vec<Service>,
    pub endpoint_slices: Vec<EndpointSlice>,
    pub stateful_sets: Vec<StatefulSet>,
    pub jobs: Vec<Job>,
    pub deployments: Vec<Deployment>,
    pub autoscalers: Vec<HorizontalPodAutoscaler>,
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    pub network_policies: Vec<NetworkPolicy>,
    pub ingresses: Vec<Ingress>,
    pub routes: Optional<HTTPRoute>,
    pub pod_monitors: Optional<PodMonitor>,
    pub pods: Vec<Pod>,
    pub refusals: Refusals,
    pub dump: Dump,
    /// The environment whose data the seed copies.
    pub source: Source,
    /// The environments whose seed copies this one's data.
    pub readers: Vec<Reader>,
    pub surroundings: Surroundings,
}

impl Observed {
    /// An environment of which nothing exists yet.
    #[must_use]
    pub fn alone(identity: Identity, environment: RatesEnvironment) -> Self {
        Self {
            identity,
            environment,
            waits_for_turn: false,
            app_secret: None,
            admin_secret: None,
            migrator_secret: None,
            token_secret: None,
            copy_secret: None,
            config_maps: Vec::new(),
            service_accounts: Vec::new(),
            roles: Vec::new(),
            role_bindings: Vec::new(),
            claims: Vec::new(),
            services: Vec::new(),
            endpoint_slices: Vec::new(),
            stateful_sets: Vec::new(),
            jobs: Vec::new(),
            deployments: Vec::new(),
            autoscalers: Vec::new(),
            disruption_budgets: Vec::new(),
            network_policies: Vec::new(),
            ingresses: Vec::new(),
            routes: Optional::Found(Vec::new()),
            pod_monitors: Optional::Found(Vec::new()),
            pods: Vec::new(),
            refusals: Refusals::default(),
            dump: Dump::NotNeeded,
            source: Source::NotNeeded,
            readers: Vec::new(),
            surroundings: Surroundings::default(),
        }
    }

    /// The Secrets that are read by name, so that a foreign one is among them.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let Self {
            app_secret,
            admin_secret,
            migrator_secret,
            token_secret,
            ..
        } = self;
        [app_secret, admin_secret, migrator_secret, token_secret]
            .into_iter()
            .flatten()
    }

    /// The API's Deployment.
    #[must_use]
    pub fn deployment(&self) -> Option<&Deployment> {
        let name = self.identity.api();
        self.deployments.iter().find(|found| found.name_any() == name)
    }

    /// Whether its database was started, although the status may not say so yet.
    #[must_use]
    pub fn has_started(&self) -> bool {
        let replicas = self.stateful_set().and_then(|set| set.spec.as_ref()?.replicas);
        replicas.is_some_and(|replicas| replicas > 0)
    }

    /// The database's `StatefulSet`.
    #[must_use]
    pub fn stateful_set(&self) -> Option<&StatefulSet> {
        let name = self.identity.postgres();
        self.stateful_sets.iter().find(|found| found.name_any() == name)
    }

    /// Whether the environment follows the operator's default images.
    #[must_use]
    pub fn follows_images(&self) -> bool {
        let annotation = self.environment.annotations().get(FOLLOW_IMAGES);
        annotation.is_some_and(|value| value == "true")
    }
}

/// What is known of the objects of a kind that a cluster need not have.
#[derive(Clone, Debug)]
pub enum Optional<K> {
    NoSuchKind,
    Found(Vec<K>),
}

/// What is known of the dump that a seed names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Dump {
    /// The seed names neither `ConfigMap` nor claim, or was loaded already.
    NotNeeded,
    /// Why it may not be read, in the API server's words.
    NotPermitted(String),
    NoConfigMap,
    NoClaim,
    /// The keys that are there instead.
    NoKey(BTreeSet<String>),
    /// The first hex digits of the content's SHA-256, or of a claim's uid.
    Found {
        digest: String,
    },
}
