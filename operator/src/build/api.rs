//! The API's pods, replaced one by one without a request lost: propagation is spent once in
//! `preStop`, what is left of the grace period is the server's to finish in.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, Lifecycle, LifecycleHandler, PodSpec, SleepAction,
    TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::pod;
use super::secrets::READ_URI;
use super::workload::{Pods, Workload};
use crate::annotations::{INGEST_TOKEN_ROTATION, LOGIN, REVISION, WRITTEN_REVISION};
use crate::identity::Component;
use crate::ingest_token::TOKEN_SHA256;
use crate::plan::{Environment, Revision};

const HTTP: i32 = 8080;
const METRICS: i32 = 9090;

/// Without pods until there are tables to serve, or such as will be there in seconds.
pub fn workload(environment: &Environment) -> Workload<'_> {
    let api = &environment.api;
    let pods = api.rollout.revision.as_ref().map(|revision| {
        // Written with the pods' template or not at all, as the status would not be.
        let written = serde_json::to_string(&revision.written).ok();
        Pods {
            annotations: written.map(|written| [(WRITTEN_REVISION.to_owned(), written)].into()),
            marks: marks(environment, revision),
            spec: pod_spec(environment, revision),
        }
    });
    Workload {
        environment,
        component: Component::Api,
        name: environment.identity.api(),
        scale: &api.scale,
        max_surge: &api.max_surge,
        disruption: api.disruption,
        pod_metadata: &api.pod_metadata,
        service_metadata: &api.service_metadata,
        ports: &[HTTP],
        metrics: METRICS,
        pods,
    }
}

/// What the pods are made of. A rotation of the token or of the login replaces them too; nothing else of it
/// is in their template.
fn marks(environment: &Environment, revision: &Revision) -> BTreeMap<String, String> {
    let token = environment
        .rotation_mark
        .clone()
        .map(|mark| (INGEST_TOKEN_ROTATION, mark));
    let login = environment.database.credentials.id.clone().map(|id| (LOGIN, id));
    [(REVISION, revision.digest.clone())]
        .into_iter()
        .chain(token)
        .chain(login)
        .map(|(name, mark)| (name.to_owned(), mark))
        .collect()
}

fn pod_spec(environment: &Environment, revision: &Revision) -> PodSpec {
    let identity = &environment.identity;
    PodSpec {
        service_account_name: Some(identity.api()),
        containers: vec![container(environment, revision)],
        termination_grace_period_seconds: Some(i64::from(
            environment.api.drain.grace_seconds(&revision.written.config),
        )),
        topology_spread_constraints: Some(spread(environment)),
        // The digest alone, and nothing of it in the template: the API reads the file for every batch.
        volumes: Some(vec![
            pod::secret("app", identity.postgres()),
            pod::secret_key("ingest", identity.api(), TOKEN_SHA256),
        ]),
        ..pod::spec(&environment.scheduling, pod::API_USER)
    }
}

/// Over nodes, and over zones where that is asked for. Of one revision each, or the pods of the old
/// one decide where the new ones go.
fn spread(environment: &Environment) -> Vec<TopologySpreadConstraint> {
    let over = |key: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        // A pod in a crowded place is better than none.
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(environment.identity.selector(Component::Api)),
            ..LabelSelector::default()
        }),
        match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
        ..TopologySpreadConstraint::default()
    };
    let zones = environment.api.zones.then(|| over("topology.kubernetes.io/zone"));
    std::iter::once(over("kubernetes.io/hostname"))
        .chain(zones)
        .collect()
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// What every release knows, where the standbys are if there are some, and then what the spec sets.
fn variables(environment: &Environment, revision: &Revision) -> Vec<EnvVar> {
    let drain = environment.api.drain;
    let drain_seconds = drain.server_seconds(&revision.written.config);
    let mut variables = vec![
        pod::variable("RATES_DATABASE_URI_FILE", "/etc/rates/app/uri"),
        pod::variable("RATES_DRAIN_SECONDS", &drain_seconds.to_string()),
        pod::variable("RATES_MAX_BATCH_SECONDS", &drain.max_batch_seconds.to_string()),
        pod::variable(
            "RATES_INGEST_TOKEN_DIGESTS_FILE",
            &format!("{}/{TOKEN_SHA256}", pod::INGEST_PATH),
        ),
    ];
    if environment.database.instances.wanted > 1 {
        let file = format!("{}/{READ_URI}", pod::APP_SECRET_PATH);
        variables.push(pod::variable("RATES_DATABASE_READ_URI_FILE", &file));
    }
    variables.extend(revision.variables.iter().cloned());
    variables
}

fn container(environment: &Environment, revision: &Revision) -> Container {
    let drain = environment.api.drain;
    let propagation = LifecycleHandler {
        sleep: Some(SleepAction {
            seconds: i64::from(drain.propagation_seconds),
        }),
        ..LifecycleHandler::default()
    };
    Container {
        args: Some(vec!["serve".to_owned()]),
        env: Some(variables(environment, revision)),
        // The second is for whoever collects metrics from pods; the Service has it not.
        ports: Some(vec![port("http", HTTP), port("metrics", METRICS)]),
        // Nothing to wait for: and before 1.33 a sleep of nothing is refused.
        lifecycle: (drain.propagation_seconds > 0).then(|| Lifecycle {
            pre_stop: Some(propagation),
            ..Lifecycle::default()
        }),
        startup_probe: Some(pod::http_probe("/healthz", "http", 1, 60)),
        // A database that restarts is waited for in the pods: a Service without any would refuse requests, and no
        // other pod has another database. One that was never reached is waited for in the probe.
        readiness_probe: Some(pod::with_header(
            pod::http_probe("/readyz", "http", 1, 30),
            "Prefer",
            "wait=4",
        )),
        liveness_probe: Some(pod::http_probe("/healthz", "http", 10, 3)),
        volume_mounts: Some(vec![
            pod::read_only(pod::mount("app", pod::APP_SECRET_PATH)),
            pod::read_only(pod::mount("ingest", pod::INGEST_PATH)),
        ]),
        ..pod::container("api", &revision.written.image, &revision.resources)
    }
}
