//! What the pods have in common: the restricted security profile, small requests, no surprises
//! from the cluster's own environment variables.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction, HTTPHeader,
    KeyToPath, LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, Probe,
    ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::identity::Component;
use crate::plan::{Environment, Metadata, Resources, Scheduling};

/// The user that the operator's and the API's images run as.
pub const API_USER: i64 = 65532;
/// The user that the PostgreSQL images run as.
pub const POSTGRES_USER: i64 = 999;
/// The user that the exporter runs as: another than the server's, who may be the superuser.
pub const EXPORTER_USER: i64 = 65532;
/// Where the application's login is mounted.
pub const APP_SECRET_PATH: &str = "/etc/rates/app";
/// Where the digest of the token that batches come with is mounted.
pub const INGEST_PATH: &str = "/etc/rates/ingest";

/// A pod's specification under the restricted profile, on the nodes that the environment's pods may run
/// on. Service links are off, as a Service `x-api` would inject variables named like settings.
pub fn spec(scheduling: &Scheduling, user: i64) -> PodSpec {
    let secret = |name: &String| LocalObjectReference { name: name.clone() };
    let secrets: Vec<_> = scheduling.pull_secrets.iter().map(secret).collect();
    PodSpec {
        node_selector: present(&scheduling.node_selector),
        tolerations: present(&scheduling.tolerations),
        affinity: scheduling.affinity.clone(),
        priority_class_name: scheduling.priority_class.clone(),
        image_pull_secrets: present(&secrets),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(user),
            run_as_group: Some(user),
            fs_group: Some(user),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// What is empty is left out, so that an environment that says nothing of it has the template that it
/// always had.
fn present<C: Clone + Default + PartialEq>(collection: &C) -> Option<C> {
    (*collection != C::default()).then(|| collection.clone())
}

/// The metadata of a pod's template: a person's, and over them the operator's.
pub fn metadata(
    environment: &Environment,
    component: Component,
    theirs: &Metadata,
    marks: BTreeMap<String, String>,
) -> ObjectMeta {
    let mut labels = theirs.labels.clone();
    labels.extend(environment.identity.labels(component));
    let mut annotations = theirs.annotations.clone();
    annotations.extend(marks);
    ObjectMeta {
        labels: Some(labels),
        annotations: present(&annotations),
        ..ObjectMeta::default()
    }
}

/// A container under the restricted profile: no privileges, and nothing writable but what is mounted.
pub fn container(name: &str, image: &str, resources: &Resources) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        // What a container that fails said last is then part of the pod's status.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        resources: Some(resources.into()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// The same, of another user than the rest of the pod.
pub fn container_of_user(name: &str, image: &str, resources: &Resources, user: i64) -> Container {
    let mut container = container(name, image, resources);
    if let Some(context) = &mut container.security_context {
        context.run_as_user = Some(user);
        context.run_as_group = Some(user);
    }
    container
}

impl From<&Resources> for ResourceRequirements {
    fn from(resources: &Resources) -> Self {
        let mut limits = vec![("memory", resources.memory_limit.as_str())];
        limits.extend(resources.cpu_limit.as_ref().map(|limit| ("cpu", limit.as_str())));
        amounts(
            &[
                ("cpu", resources.cpu.as_str()),
                ("memory", resources.memory.as_str()),
            ],
            &limits,
        )
    }
}

fn amounts(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> ResourceRequirements {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        let owned = |&(key, value): &(&str, &str)| (key.to_owned(), Quantity(value.to_owned()));
        pairs.iter().map(owned).collect()
    };
    ResourceRequirements {
        requests: Some(map(requests)),
        limits: Some(map(limits)),
        ..ResourceRequirements::default()
    }
}

pub fn variable(name: &str, value: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    }
}

/// A variable that takes a field of the pod.
pub fn field(name: &str, path: &str) -> EnvVar {
    let field_ref = ObjectFieldSelector {
        api_version: Some("v1".to_owned()),
        field_path: path.to_owned(),
    };
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(field_ref),
            ..EnvVarSource::default()
        }),
    }
}

pub fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    }
}

pub fn read_only(mount: VolumeMount) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..mount
    }
}

pub fn sub_path(mount: VolumeMount, path: &str) -> VolumeMount {
    VolumeMount {
        sub_path: Some(path.to_owned()),
        ..mount
    }
}

pub fn empty_dir(name: &str, source: EmptyDirVolumeSource) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(source),
        ..Volume::default()
    }
}

/// A Secret as files that the pod's group may read and nobody may change.
pub fn secret(volume: &str, secret: String) -> Volume {
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// One key of a Secret as a file of that name, for everybody in the pod to read. The kubelet keeps
/// it current.
pub fn secret_key(volume: &str, secret: String, key: &str) -> Volume {
    const MODE: i32 = 0o444;
    Volume {
        name: volume.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(MODE),
            items: Some(vec![KeyToPath {
                key: key.to_owned(),
                path: key.to_owned(),
                mode: Some(MODE),
            }]),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// A probe by HTTP that says more.
pub fn with_header(mut probe: Probe, name: &str, value: &str) -> Probe {
    let header = HTTPHeader {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    if let Some(get) = &mut probe.http_get {
        get.http_headers = Some(vec![header]);
    }
    probe
}

/// A probe by HTTP on a named port.
pub fn http_probe(path: &str, port: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(port.to_owned()),
            scheme: Some("HTTP".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}
