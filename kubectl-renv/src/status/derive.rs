//! Derives the summary of an environment from the objects that were read.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;
use serde::Deserialize;

use super::summary::{
    Api, Condition, Database, JobState, Lifetime, Member, Part, PodState, Summary, Volume, Warning,
};
use crate::environment::Environment;
use crate::parts::{self, POSTGRES, Parts, component_of, last_seen};

/// How many warnings are told.
const WARNINGS: usize = 5;

impl Summary {
    #[must_use]
    pub fn of(environment: &Environment, parts: &Parts, now: Timestamp) -> Self {
        let (spec, status) = (&environment.spec, &environment.status);
        let key = environment.key();
        let part = |kind: &str| {
            let condition = environment.condition(kind).cloned().unwrap_or_default();
            (condition.status == "True", condition)
        };
        let (seeded, seeding) = part("Seeded");
        let (migrated, migrating) = part("Migrated");
        let image = status.api.image.clone();
        Self {
            profile: status.profile.clone(),
            phase: environment.phase().to_owned(),
            ready: environment.holds("Ready"),
            phase_since: phase_since(environment),
            message: environment.message().to_owned(),
            url: status.url.clone(),
            created_at: environment.created(),
            observed: environment.is_observed(),
            lifetime: Lifetime {
                ttl: spec.lifetime.ttl.clone(),
                expires_at: status.expires_at,
                sleep_after: spec.lifetime.sleep_after.clone(),
                asleep_since: environment.asleep_since(),
            },
            database: database(environment, parts),
            seed: Part {
                done: seeded,
                reason: seeding.reason,
                message: seeding.message,
                since: seeding.last_transition_time,
                result: status.database.seed.clone(),
            },
            tables: Part {
                done: migrated,
                reason: migrating.reason,
                message: migrating.message,
                since: migrating.last_transition_time,
                result: status.database.schema.clone(),
            },
            api: Api {
                running_image: status
                    .api
                    .revision
                    .as_ref()
                    .map(|revision| revision.image.clone())
                    .filter(|running| Some(running) != image.as_ref()),
                image,
                replicas: status.api.replicas,
                ready_replicas: status.api.ready_replicas,
                updated_replicas: status.api.updated_replicas,
                autoscaling: status.api.autoscaling.clone(),
                failed_rollout: status.api.failed_rollout.clone(),
                pods: parts.pods_of("api").map(PodState::of).collect(),
            },
            jobs: parts.jobs.iter().map(JobState::of).collect(),
            conditions: status
                .conditions
                .iter()
                .map(|condition| Condition {
                    r#type: condition.r#type.clone(),
                    status: condition.status.clone(),
                    reason: condition.reason.clone(),
                    message: condition.message.clone(),
                    since: condition.last_transition_time,
                })
                .collect(),
            warnings: warnings(&parts.events, now),
            unread: parts.unread.clone(),
            namespace: key.namespace,
            name: key.name,
        }
    }
}

fn phase_since(environment: &Environment) -> Option<Timestamp> {
    match environment.phase() {
        "Ready" => environment.condition("Ready")?.last_transition_time,
        "Asleep" => environment.asleep_since(),
        _ => environment.condition("Progressing")?.last_transition_time,
    }
}

/// What Patroni writes of a member at its pod.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Patroni {
    state: Option<String>,
    role: Option<String>,
    timeline: Option<i64>,
    replication_state: Option<String>,
    xlog_location: Option<i64>,
}

impl Patroni {
    fn of(pod: &Pod) -> Self {
        let written = pod.annotations().get("status");
        written
            .and_then(|written| serde_json::from_str(written).ok())
            .unwrap_or_default()
    }
}

fn database(environment: &Environment, parts: &Parts) -> Database {
    let status = &environment.status.database;
    let prefix = format!("{}-postgres", environment.name());
    let annotation = |config_map: &str, key: &str| {
        let name = format!("{prefix}-{config_map}");
        let found = parts
            .config_maps
            .iter()
            .find(|map: &&ConfigMap| map.name_any() == name)?;
        found.annotations().get(key).cloned()
    };
    let synchronous: BTreeSet<String> = annotation("sync", "sync_standby")
        .unwrap_or_default()
        .split(',')
        .map(str::to_owned)
        .collect();
    let end = parts
        .primary()
        .and_then(|primary| Patroni::of(primary).xlog_location);
    let end = end.or_else(|| annotation("leader", "optime")?.parse().ok());
    let member = |pod: &Pod| {
        let written = Patroni::of(pod);
        let role = pod.labels().get(parts::ROLE).cloned().or(written.role);
        let is_standby = role.as_deref() == Some("replica");
        Member {
            lag_bytes: end
                .zip(written.xlog_location)
                .filter(|_| is_standby)
                .map(|(end, location)| (end - location).max(0)),
            synchronous: is_standby && synchronous.contains(&pod.name_any()),
            state: written.replication_state.filter(|_| is_standby).or(written.state),
            timeline: written.timeline,
            volume: volume(pod, &parts.claims),
            role,
            pod: PodState::of(pod),
        }
    };
    Database {
        version: status.version.clone(),
        image: status.image.clone(),
        instances: status.instances,
        ready_instances: status.ready_instances,
        primary: status.primary.clone(),
        timeline: status.timeline,
        synchronous_standbys: status.synchronous_standbys,
        failovers: status.failovers.clone(),
        storage: status.storage.clone(),
        pending_restart: status.pending_restart.clone(),
        rotation: status.rotation.clone(),
        members: parts.pods_of(POSTGRES).map(member).collect(),
    }
}

fn volume(pod: &Pod, claims: &[PersistentVolumeClaim]) -> Option<Volume> {
    let name = format!("data-{}", pod.name_any());
    let claim = claims.iter().find(|claim| claim.name_any() == name)?;
    let status = claim.status.as_ref();
    let capacity = status.and_then(|status| status.capacity.as_ref()?.get("storage"));
    Some(Volume {
        phase: status.and_then(|status| status.phase.clone()).unwrap_or_default(),
        size: capacity.map(|size| size.0.clone()),
        claim: name,
    })
}

impl PodState {
    fn of(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let containers = status.container_statuses.unwrap_or_default();
        let why = containers.iter().find_map(|container| {
            let state = container.state.as_ref()?;
            let waiting = state.waiting.as_ref().and_then(|waiting| waiting.reason.clone());
            let failed = state.terminated.as_ref().filter(|ended| ended.exit_code != 0);
            waiting
                .filter(|reason| reason != "ContainerCreating" && reason != "PodInitializing")
                .or_else(|| failed.and_then(|ended| ended.reason.clone()))
        });
        let phase = if pod.metadata.deletion_timestamp.is_some() {
            "Terminating".to_owned()
        } else {
            why.or(status.phase).unwrap_or_else(|| "Pending".to_owned())
        };
        Self {
            name: pod.name_any(),
            ready: conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            phase,
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            restarts: containers.iter().map(|container| container.restart_count).sum(),
            started_at: status.start_time.map(|time| time.0),
        }
    }
}

impl JobState {
    fn of(job: &Job) -> Self {
        let status = job.status.clone().unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let holds = |kind: &str| {
            conditions
                .iter()
                .any(|condition| condition.type_ == kind && condition.status == "True")
        };
        Self {
            name: job.name_any(),
            part: component_of(job).to_owned(),
            state: if holds("Complete") || holds("SuccessCriteriaMet") {
                "succeeded"
            } else if holds("Failed") || holds("FailureTarget") {
                "failed"
            } else {
                "running"
            },
            started_at: status.start_time.map(|time| time.0),
        }
    }
}

fn warnings(events: &[Event], now: Timestamp) -> Vec<Warning> {
    let is_new = |event: &&Event| {
        let last = last_seen(event);
        last.is_some_and(|last| now.duration_since(last).as_secs() < 3600)
    };
    let mut warnings: Vec<Warning> = events
        .iter()
        .filter(|event| event.type_.as_deref() == Some("Warning"))
        .filter(is_new)
        .map(|event| Warning {
            object: event.involved_object.name.clone().unwrap_or_default(),
            reason: event.reason.clone().unwrap_or_default(),
            message: event.message.clone().unwrap_or_default(),
            count: event
                .series
                .as_ref()
                .and_then(|series| series.count)
                .or(event.count)
                .unwrap_or(1),
            last: last_seen(event),
        })
        .collect();
    warnings.drain(..warnings.len().saturating_sub(WARNINGS));
    warnings
}
