//! Whether an environment sleeps, and how far it is with falling asleep or waking.
//!
//! The status records a sleep from its beginning to its end, so that it is known after a restart of the operator. It
//! begins by an annotation, or by time; a request or an annotation ends it. `spec.suspend` stands above it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;

use crate::annotations;
use crate::crd::{Lifetime, RatesEnvironmentStatus, SleepStatus};
use crate::identity::Component;
use crate::observed::Observed;
use crate::pods::job_outcome::has_ended;
use crate::pods::{self, is_ready};
use crate::surroundings::{ActivatorPod, Idle};

/// At which the API serves.
const HTTP: u16 = 8080;

/// How far a sleep is.
#[derive(Clone, Debug, PartialEq)]
pub enum SleepState {
    Awake,
    /// It is recorded first.
    Begins,
    /// The activator takes the requests; the pods end, or are gone.
    Asleep,
    /// The activator still takes them; the pods start.
    Waking,
    /// The API serves, and the activator is to take no more.
    Leaving,
    /// The record goes.
    Ends,
}

/// The way to the activator.
#[derive(Clone, Debug)]
pub struct Detour {
    /// At which it takes the requests to this environment.
    pub port: i32,
    pub pods: Vec<ActivatorPod>,
    /// The families of addresses that the API's Service has.
    pub families: Vec<String>,
}

/// What becomes of an environment's sleep.
#[derive(Clone, Debug)]
pub struct Sleep {
    pub state: SleepState,
    /// As it is to be recorded; without a port where it has none yet.
    pub record: Option<SleepStatus>,
    /// The way to the activator, while it takes the requests.
    pub detour: Option<Detour>,
    /// Annotations that asked for what is done.
    pub done: Vec<&'static str>,
    stops: bool,
    has_no_volume: bool,
}

impl Sleep {
    pub(super) fn of(observed: &Observed, now: Timestamp) -> Self {
        let status = observed.environment.status.as_ref();
        let recorded = status.and_then(|status| status.sleep.clone());
        let state = state(observed, status, recorded.as_ref());
        let record = match state {
            SleepState::Awake | SleepState::Ends => None,
            SleepState::Begins => Some(SleepStatus {
                since: format!("{now:.6}"),
                ..SleepStatus::default()
            }),
            SleepState::Asleep => recorded.clone().map(|sleep| SleepStatus {
                endpoints: Vec::new(),
                ..sleep
            }),
            SleepState::Waking | SleepState::Leaving => recorded.clone().map(|sleep| SleepStatus {
                endpoints: endpoints(observed),
                ..sleep
            }),
        };
        let is_taken_over = matches!(state, SleepState::Asleep | SleepState::Waking);
        let port = recorded.and_then(|sleep| sleep.port).filter(|_| is_taken_over);
        // One that was made to sleep starts nothing first.
        let is_new = state == SleepState::Begins && !observed.has_started();
        let stops = is_new || state == SleepState::Asleep;
        Self {
            done: done(observed, &state),
            stops,
            has_no_volume: stops && observed.claims.is_empty(),
            state,
            record,
            detour: port.and_then(|port| detour(observed, port)),
        }
    }

    /// Whether it never ran and sleeps: Kubernetes tells with an Event four times a minute of a claim that waits for its
    /// first pod.
    #[must_use]
    pub const fn has_no_volume(&self) -> bool {
        self.has_no_volume
    }

    /// Whether no pods are to run.
    #[must_use]
    pub const fn stops(&self) -> bool {
        self.stops
    }
}

/// None where it would lead to nobody. Until the activator's pods are known, what is there stays as it is.
fn detour(observed: &Observed, port: i32) -> Option<Detour> {
    let existing = &observed.endpoint_slices;
    let pods = match &observed.surroundings.activator {
        Some(pods) => pods.clone(),
        None => pods_of(existing),
    };
    let name = observed.identity.api();
    let service = observed
        .services
        .iter()
        .find(|service| service.name_any() == name);
    let families = service.and_then(|service| service.spec.as_ref()?.ip_families.clone());
    (!pods.is_empty() || !existing.is_empty()).then_some(Detour {
        port,
        pods,
        families: families.unwrap_or_else(|| vec!["IPv4".to_owned()]),
    })
}

/// The activator's pods to which slices lead.
fn pods_of(slices: &[EndpointSlice]) -> Vec<ActivatorPod> {
    let mut pods = BTreeMap::new();
    for endpoint in slices.iter().flat_map(|slice| &slice.endpoints) {
        let name = endpoint.target_ref.as_ref().and_then(|pod| pod.name.clone());
        let name = name.unwrap_or_default();
        let pod = pods.entry(name.clone()).or_insert_with(|| ActivatorPod {
            addresses: Vec::new(),
            name,
            node: endpoint.node_name.clone(),
        });
        pod.addresses.extend(endpoint.addresses.iter().cloned());
    }
    pods.into_values().collect()
}

fn state(
    observed: &Observed,
    status: Option<&RatesEnvironmentStatus>,
    recorded: Option<&SleepStatus>,
) -> SleepState {
    let suspend = observed.environment.spec.suspend;
    let asked = |annotation| observed.environment.annotations().contains_key(annotation);
    let Some(recorded) = recorded else {
        let by_hand = asked(annotations::SLEEP) && !asked(annotations::WAKE);
        return if !suspend && (by_hand || is_due(observed)) {
            SleepState::Begins
        } else {
            SleepState::Awake
        };
    };
    if suspend {
        return SleepState::Ends;
    }
    if observed.waits_for_turn {
        return SleepState::Asleep;
    }
    // A request names the sleep that it ends: one that comes late ends no other.
    let request = status.and_then(|status| status.wake_request.as_ref());
    if !asked(annotations::WAKE) && request != Some(&recorded.since) {
        return SleepState::Asleep;
    }
    // The activator has to know whom to forward to before nothing more is sent to it; and the proxies of the nodes need
    // a moment to notice a pod, which is what "available" waits for.
    let known = !recorded.endpoints.is_empty() && recorded.endpoints == endpoints(observed);
    if !known || !is_available(observed) {
        SleepState::Waking
    } else if observed.endpoint_slices.is_empty() {
        SleepState::Ends
    } else {
        SleepState::Leaving
    }
}

/// What was asked for by annotations and is done, or will not be.
fn done(observed: &Observed, state: &SleepState) -> Vec<&'static str> {
    let asked: &[&'static str] = match state {
        // It is recorded. A request may wake it before that could be taken back.
        SleepState::Asleep | SleepState::Waking => &[annotations::SLEEP],
        // Awake is what is asked for by both, whichever came first.
        SleepState::Awake if observed.environment.spec.suspend => &[annotations::SLEEP, annotations::WAKE],
        SleepState::Awake if observed.environment.annotations().contains_key(annotations::WAKE) => {
            &[annotations::SLEEP, annotations::WAKE]
        }
        SleepState::Awake | SleepState::Begins | SleepState::Leaving | SleepState::Ends => &[],
    };
    let is_there = |annotation: &&&'static str| observed.environment.annotations().contains_key(**annotation);
    asked.iter().filter(is_there).copied().collect()
}

/// Whether it was not in use for long enough, and can be woken again.
fn is_due(observed: &Observed) -> bool {
    let lifetime = observed.environment.spec.lifetime.as_ref();
    let Some(sleep_after) = lifetime.and_then(Lifetime::sleep_after) else {
        return false;
    };
    let is_idle = matches!(observed.surroundings.idle, Idle::For(idle) if idle >= sleep_after);
    let is_taken_over = observed
        .surroundings
        .activator
        .as_ref()
        .is_some_and(|pods| !pods.is_empty());
    let works = |pod: &Pod| Component::of(pod).is_some_and(Component::is_a_job) && !has_ended(pod);
    is_idle && is_taken_over && !observed.pods.iter().any(works)
}

/// The namespace from which the API's pods are asked, where the environment sleeps by itself.
pub fn asked_from(observed: &Observed) -> Option<String> {
    let lifetime = observed.environment.spec.lifetime.as_ref()?;
    lifetime.sleep_after()?;
    observed.surroundings.operator_namespace.clone()
}

/// The API's pods that serve.
fn endpoints(observed: &Observed) -> Vec<String> {
    let ready = pods::of(observed, Component::Api).filter(|pod| is_ready(pod));
    let mut endpoints: Vec<String> = ready
        .filter_map(|pod| {
            let address: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
            Some(SocketAddr::from((address, HTTP)).to_string())
        })
        .collect();
    endpoints.sort();
    endpoints
}

fn is_available(observed: &Observed) -> bool {
    let status = observed
        .deployment()
        .and_then(|deployment| deployment.status.as_ref());
    status
        .and_then(|status| status.available_replicas)
        .unwrap_or_default()
        > 0
}
