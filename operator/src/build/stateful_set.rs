//! The database's pods: PostgreSQL under Patroni, and beside it what keeps the roles as the
//! Secrets say.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EmptyDirVolumeSource, EnvVar, ExecAction, Lifecycle, LifecycleHandler,
    PersistentVolumeClaim, PodSpec, PodTemplateSpec, Volume,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::{claims, pod};
use crate::annotations::RESTARTED_FOR;
use crate::identity::{CLUSTER_LABEL, Component, ROLE_LABEL};
use crate::plan::{Activity, EXPORTER as EXPORTER_NAME, Environment, Exporter, VolumeIdentity};

/// A fast shutdown of a busy server may take this long. Before it, the batches under way are waited for.
const STOP_SECONDS: i64 = 120;
const SCRATCH: &str = "scratch";
const DATA: &str = "data";
/// The names of the ports of metrics.
pub const PATRONI_PORT: &str = "patroni";
pub const EXPORTER_PORT: &str = "metrics";
/// At which the exporter listens.
pub const EXPORTER: i32 = 9187;

pub fn build(environment: &Environment) -> StatefulSet {
    let identity = &environment.identity;
    let template = &environment.database.template;
    StatefulSet {
        metadata: identity.metadata(identity.postgres(), Component::Postgres),
        spec: Some(StatefulSetSpec {
            service_name: Some(identity.postgres_headless()),
            replicas: Some(replicas(environment)),
            // From the first day, as it cannot be changed: standbys need not wait for each other.
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(update_strategy(environment)),
            selector: LabelSelector {
                match_labels: Some(identity.selector(Component::Postgres)),
                ..LabelSelector::default()
            },
            template: PodTemplateSpec {
                metadata: Some(pod::metadata(
                    environment,
                    Component::Postgres,
                    &environment.database.pod_metadata,
                    environment
                        .database
                        .restarted_for
                        .iter()
                        .map(|what| (RESTARTED_FOR.to_owned(), what.clone()))
                        .collect(),
                )),
                spec: Some(pod_spec(environment)),
            },
            volume_claim_templates: Some(vec![PersistentVolumeClaim {
                metadata: ObjectMeta {
                    name: Some(DATA.to_owned()),
                    labels: Some(identity.labels(Component::Postgres)),
                    ..ObjectMeta::default()
                },
                spec: Some(claims::spec(
                    template.size.as_str(),
                    template.storage_class.clone(),
                )),
                ..PersistentVolumeClaim::default()
            }]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

/// Several instances are replaced by the operator, which knows the primary; the one of one by its controller.
fn update_strategy(environment: &Environment) -> StatefulSetUpdateStrategy {
    let by_whom = if environment.replication.kept > 1 {
        "OnDelete"
    } else {
        "RollingUpdate"
    };
    StatefulSetUpdateStrategy {
        type_: Some(by_whom.to_owned()),
        ..StatefulSetUpdateStrategy::default()
    }
}

/// The database goes last and comes first. A pod that waits for the primary of a lost volume goes, too.
fn replicas(environment: &Environment) -> i32 {
    match environment.activity {
        Activity::Stopped => 0,
        _ if environment.database.volume != VolumeIdentity::Same => 0,
        Activity::Running | Activity::Stopping | Activity::Resuming | Activity::Waking => {
            i32::from(environment.replication.kept)
        }
    }
}

fn pod_spec(environment: &Environment) -> PodSpec {
    let identity = &environment.identity;
    PodSpec {
        service_account_name: Some(identity.postgres()),
        automount_service_account_token: Some(true),
        termination_grace_period_seconds: Some(i64::from(environment.database.drain_seconds) + STOP_SECONDS),
        containers: [postgres(environment), roles(environment)]
            .into_iter()
            .chain(exporter(environment))
            .collect(),
        volumes: Some(vec![
            pod::secret("app", identity.postgres()),
            pod::secret("admin", identity.postgres_admin()),
            pod::empty_dir(SCRATCH, EmptyDirVolumeSource::default()),
            shared_memory(),
        ]),
        affinity: environment
            .database
            .spread
            .beside(environment.scheduling.affinity.clone(), identity),
        ..pod::spec(&environment.scheduling, pod::POSTGRES_USER)
    }
}

fn shared_memory() -> Volume {
    pod::empty_dir(
        "shm",
        EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity("256Mi".to_owned())),
        },
    )
}

fn postgres(environment: &Environment) -> Container {
    let identity = &environment.identity;
    let labels: Vec<String> = identity
        .selector(Component::Postgres)
        .iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    Container {
        env: Some(vec![
            pod::field("PATRONI_NAME", "metadata.name"),
            pod::variable("PATRONI_SCOPE", &identity.postgres()),
            pod::field("PATRONI_KUBERNETES_NAMESPACE", "metadata.namespace"),
            pod::field("PATRONI_KUBERNETES_POD_IP", "status.podIP"),
            pod::variable("PATRONI_KUBERNETES_LABELS", &format!("{{{}}}", labels.join(", "))),
            pod::variable("PATRONI_KUBERNETES_SCOPE_LABEL", CLUSTER_LABEL),
            pod::variable("PATRONI_KUBERNETES_ROLE_LABEL", ROLE_LABEL),
            pod::variable("PATRONI_KUBERNETES_LEADER_LABEL_VALUE", "primary"),
            drain_bound(environment),
        ]),
        ports: Some(vec![port("postgres", 5432), port(PATRONI_PORT, 8008)]),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction {
                    command: Some(vec!["/usr/local/bin/rates-postgres-drain".to_owned()]),
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        // initdb comes before Patroni answers, and may be slow on a busy node.
        startup_probe: Some(pod::http_probe("/liveness", "patroni", 1, 900)),
        liveness_probe: Some(pod::http_probe("/liveness", "patroni", 10, 6)),
        readiness_probe: Some(pod::http_probe("/readiness", "patroni", 1, 3)),
        volume_mounts: Some(vec![
            pod::mount(DATA, "/data"),
            pod::read_only(pod::mount("app", pod::APP_SECRET_PATH)),
            pod::read_only(pod::mount("admin", "/etc/rates/admin")),
            pod::sub_path(pod::mount(SCRATCH, "/tmp"), "tmp-postgres"),
            pod::sub_path(pod::mount(SCRATCH, "/var/run/postgresql"), "run"),
            pod::mount("shm", "/dev/shm"),
        ]),
        ..pod::container(
            "postgres",
            &environment.database.image,
            &environment.database.resources,
        )
    }
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// For how long batches are waited for before the server stops: also by the role manager, which restarts it in place.
fn drain_bound(environment: &Environment) -> EnvVar {
    pod::variable(
        "DRAIN_BOUND_SECONDS",
        &environment.database.drain_seconds.to_string(),
    )
}

fn roles(environment: &Environment) -> Container {
    let mut env = vec![pod::field("POD_NAME", "metadata.name"), drain_bound(environment)];
    if environment.database.own_image {
        env.push(pod::variable("RATES_REPORT_VERSION", "yes"));
    }
    Container {
        command: Some(vec!["/usr/local/bin/rates-postgres-roles".to_owned()]),
        env: Some(env),
        volume_mounts: Some(vec![
            pod::read_only(pod::mount("app", pod::APP_SECRET_PATH)),
            pod::read_only(pod::mount("admin", "/etc/rates/admin")),
            pod::sub_path(pod::mount(SCRATCH, "/tmp"), "tmp-roles"),
            pod::sub_path(pod::mount(SCRATCH, "/var/run/postgresql"), "run"),
        ]),
        ..pod::container(
            "roles",
            &environment.database.image,
            &environment.database.roles_resources,
        )
    }
}

/// What of the server an exporter asks. It finds the server by the socket, and needs no password: who it is to the kernel is
/// who it is to the server (`images/postgres/patroni.yml`). `rates` may not exist yet, and what is asked is the same in
/// every database.
const DATA_SOURCE: &str = "host=/var/run/postgresql user=rates_monitor dbname=postgres sslmode=disable application_name=rates-exporter \
     connect_timeout=3 statement_timeout=4000";

/// The collectors that differ from the exporter's defaults: nothing a table, which would be a series each, and no counts of
/// locks, which do not say who waits.
const COLLECTORS: [&str; 6] = [
    "--collector.long_running_transactions",
    "--collector.stat_checkpointer",
    "--no-collector.locks",
    "--no-collector.roles",
    "--no-collector.stat_user_tables",
    "--no-collector.statio_user_tables",
];

/// It has no probe: the pod of a server that serves would not be ready while it fails.
fn exporter(environment: &Environment) -> Option<Container> {
    let Exporter::Container { image, resources } = &environment.monitoring.as_ref()?.exporter else {
        return None;
    };
    let listen = format!("--web.listen-address=:{EXPORTER}");
    // It warns of what this version of PostgreSQL has not, at every scrape.
    let args = ["--log.level=error", &listen].into_iter().chain(COLLECTORS);
    let run = pod::sub_path(pod::mount(SCRATCH, "/var/run/postgresql"), "run");
    // In place of the account's token, which is Patroni's alone.
    let no_token = pod::sub_path(
        pod::mount(SCRATCH, "/var/run/secrets/kubernetes.io/serviceaccount"),
        "no-token",
    );
    Some(Container {
        args: Some(args.map(str::to_owned).collect()),
        env: Some(vec![
            pod::variable("DATA_SOURCE_NAME", DATA_SOURCE),
            pod::variable("PG_EXPORTER_DISABLE_SETTINGS_METRICS", "true"),
        ]),
        ports: Some(vec![port(EXPORTER_PORT, EXPORTER)]),
        volume_mounts: Some(vec![pod::read_only(run), pod::read_only(no_token)]),
        ..pod::container_of_user(EXPORTER_NAME, image, resources, pod::EXPORTER_USER)
    })
}
