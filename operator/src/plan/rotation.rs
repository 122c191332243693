//! The change of the application's password without a failed request: through the other login.
//!
//! Each step is read from the Secrets and the pods, so that a restart of the operator at any moment
//! changes nothing. First the admin Secret gets the next login, and the role manager makes it
//! work beside the one in use. When its pod says so, the application's Secret is switched, and the
//! API's pods are replaced. When none is left that was made before, the admin Secret names the login
//! that is out of use, and the role manager shuts it.
//!
//! A Secret that was deleted is the answer to a leak: it ends a rotation at once, so that no password
//! from before is one of those that are kept.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use crate::annotations::{LOGIN, NEXT_LOGIN, ROTATE_PASSWORD, ROTATE_REPLICATION_PASSWORD};
use crate::credentials::{
    Credentials, NEXT_ID, NEXT_PASSWORD, NEXT_USERNAME, REPLICATION_ROTATION, ROTATION, other_login,
};
use crate::digest::short_digest;
use crate::identity::Component;
use crate::observed::Observed;
use crate::password::{Password, value};
use crate::pods::job_outcome::has_ended;
use crate::pods::primary;

/// The login that takes over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Next {
    pub username: String,
    pub password: Password,
    /// Tells this login and password from others, and nothing of them.
    pub id: String,
    /// What it was asked for by.
    pub rotation: String,
}

/// How far a rotation is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rotation {
    /// One login is in use, and the other one is shut.
    Settled {
        /// The last one.
        rotation: Option<String>,
    },
    /// The next login is made to work.
    Preparing(Next),
    /// The application uses it; its pods from before are being replaced.
    Switching(Next),
}

/// The credentials after one more step, and how far they are.
pub(super) fn plan(
    observed: &Observed,
    mut credentials: Credentials,
    fresh_password: Password,
) -> (Credentials, Rotation) {
    let admin = observed.admin_secret.as_ref();
    let recorded = value(admin, ROTATION);
    let asked = observed
        .environment
        .annotations()
        .get(ROTATE_PASSWORD)
        .map(|asked| short_digest(&[asked.as_bytes()]));
    let is_anew = Password::of(observed.app_secret.as_ref(), "password").is_none();
    let rotation = match next_of(admin) {
        Some(next) if is_anew => Rotation::Settled {
            rotation: Some(next.rotation),
        },
        Some(next) if credentials.username == next.username => {
            if is_used_by_all(observed, &next.id) {
                Rotation::Settled {
                    rotation: Some(next.rotation),
                }
            } else {
                Rotation::Switching(next)
            }
        }
        Some(next) if works(observed, &next.id) => {
            credentials.username.clone_from(&next.username);
            credentials.password.clone_from(&next.password);
            credentials.id = Some(next.id.clone());
            Rotation::Switching(next)
        }
        Some(next) => Rotation::Preparing(next),
        None => match asked.filter(|asked| Some(asked) != recorded.as_ref()) {
            // A password that was made just now needs no change, nor is it known what the last one was for.
            Some(asked) if is_anew || admin.is_none() => Rotation::Settled {
                rotation: Some(asked),
            },
            Some(asked) => Rotation::Preparing(Next {
                username: other_login(&credentials.username).to_owned(),
                id: short_digest(&[asked.as_bytes(), fresh_password.reveal().as_bytes()]),
                password: fresh_password,
                rotation: asked,
            }),
            None => Rotation::Settled { rotation: recorded },
        },
    };
    (credentials, rotation)
}

/// The record of the last rotation of the replication's password, which is changed where another one is asked for.
///
/// One step is enough: a standby that streams goes on, and the pods are told to read the Secret again at once. Until the
/// primary has the new password, a standby that connects just then tries again.
pub(super) fn replication(
    observed: &Observed,
    credentials: &mut Credentials,
    fresh_password: Password,
    now: Timestamp,
) -> Option<String> {
    let admin = observed.admin_secret.as_ref();
    let recorded = value(admin, REPLICATION_ROTATION);
    let asked = observed
        .environment
        .annotations()
        .get(ROTATE_REPLICATION_PASSWORD);
    let asked = asked.map(|asked| short_digest(&[asked.as_bytes()]));
    let known = recorded
        .as_deref()
        .and_then(|recorded| recorded.split(' ').next());
    match asked {
        Some(asked) if known != Some(asked.as_str()) => {
            // One that was made just now needs no change.
            if admin.is_some() {
                credentials.replication_password = fresh_password;
            }
            Some(format!("{asked} {now:.0}"))
        }
        _ => recorded,
    }
}

fn next_of(admin: Option<&Secret>) -> Option<Next> {
    Some(Next {
        username: value(admin, NEXT_USERNAME).filter(|name| other_login(other_login(name)) == name)?,
        password: Password::of(admin, NEXT_PASSWORD)?,
        id: value(admin, NEXT_ID)?,
        rotation: value(admin, ROTATION)?,
    })
}

/// Whether the role manager says that the login works.
fn works(observed: &Observed, id: &str) -> bool {
    primary(observed).is_some_and(|pod| pod.annotations().get(NEXT_LOGIN).is_some_and(|told| told == id))
}

/// Whether nobody is left who was started with the login before: no pod of a Deployment, no Job.
fn is_used_by_all(observed: &Observed, id: &str) -> bool {
    let has_it = |metadata: &ObjectMeta| {
        let login = metadata.annotations.as_ref().and_then(|all| all.get(LOGIN));
        login.is_some_and(|login| login == id)
    };
    let is_of_old = |pod: &Pod| {
        let part = Component::of(pod).filter(|part| part.uses_the_database());
        part.is_some_and(|part| part.is_a_job() || !has_it(&pod.metadata)) && !has_ended(pod)
    };
    let is_rolled_out = |deployment: &Deployment| {
        let template = deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.template.metadata.as_ref());
        let status = deployment.status.clone().unwrap_or_default();
        template.is_some_and(has_it)
            && status.observed_generation == deployment.metadata.generation
            && status.updated_replicas.unwrap_or(0) == status.replicas.unwrap_or(0)
    };
    let uses_it =
        |deployment: &&Deployment| Component::of(*deployment).is_some_and(Component::uses_the_database);
    observed.deployments.iter().filter(uses_it).all(is_rolled_out) && !observed.pods.iter().any(is_of_old)
}
