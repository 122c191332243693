//! `kubectl renv switchover`, `restart` and `rotate`.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::annotate::{self, ROTATE_INGEST_TOKEN, ROTATE_PASSWORD, ROTATE_REPLICATION_PASSWORD, SWITCHOVER};
use crate::canvas;
use crate::cluster::{Cluster, MANAGER};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::flags::{One, Target, Wait};
use crate::watched::{Look, until};

/// By which a template's pods are replaced, as `kubectl rollout restart` does it.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Of the Secret with the ingest token: which rotation it has had.
const ROTATED_INGEST_TOKEN: &str = "rates.internal/rotated-ingest-token";
/// Of the Secret with the application's login: which login it is.
const LOGIN: &str = "rates.internal/login";

/// How often it is looked whether something is done.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Args, Clone, Debug)]
pub struct Switchover {
    /// The environment's name
    pub name: String,

    /// The standby that takes over, by its pod's name or number; by default any that has everything
    pub standby: Option<String>,

    #[command(flatten)]
    pub target: Target,

    #[command(flatten)]
    pub wait: Wait,
}

#[derive(Args, Clone, Debug)]
pub struct Restart {
    #[command(flatten)]
    pub one: One,

    /// Whose pods are replaced
    #[arg(long, value_enum, default_value_t = Restarted::Api)]
    pub part: Restarted,

    #[command(flatten)]
    pub wait: Wait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Restarted {
    /// The API's pods, one after another; no request is lost
    Api,
    /// The database's pods; batches finish first. Of several instances standbys go first, and the primary hands over
    Database,
}

#[derive(Args, Clone, Debug)]
pub struct Rotate {
    /// The environment's name
    pub name: String,

    /// What is replaced
    #[arg(value_enum)]
    pub what: Rotated,

    #[command(flatten)]
    pub target: Target,

    #[command(flatten)]
    pub wait: Wait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rotated {
    /// The application's login in Secret NAME-postgres; no request fails
    Password,
    /// The token in Secret NAME-api; the one before works for 10 minutes more
    IngestToken,
    /// The password that standbys stream with
    ReplicationPassword,
}

pub async fn switchover(arguments: &Switchover) -> Result<()> {
    let cluster = Cluster::connect(&arguments.target).await?;
    let name = &arguments.name;
    let environment = cluster.environment(name).await?;
    ensure!(
        environment.status.database.instances > 1,
        "{} has one database instance, so there is no standby to take over; spec.database.instances: 3 makes two",
        environment.key()
    );
    let standby = standby(&environment, arguments.standby.as_deref())?;
    let asked = Timestamp::now();
    annotate::set(&cluster, name, SWITCHOVER, &standby).await?;
    if !arguments.wait.wait {
        return canvas::write(&format!(
            "{}: a switchover to {standby} is asked for; `kubectl events --for renv/{name} -n {}` says how it went\n",
            environment.key(),
            cluster.namespace
        ));
    }
    let goal = ("switched over", arguments.wait.timeout);
    until(&cluster, name, goal, |environment| match environment {
        Some(environment) if environment.annotation(SWITCHOVER).is_some() => Look::NotYet,
        _ => Look::Holds,
    })
    .await?;
    let reasons = ["SwitchoverDone", "SwitchoverRefused"];
    // The Event is published just before or just after the annotation goes.
    for _ in 0..20 {
        match annotate::answer(&cluster, name, &reasons, asked).await? {
            Some((reason, message)) if reason == "SwitchoverDone" => {
                return canvas::write(&format!("{message}\n"));
            }
            Some((_, message)) => return Err(Failure::NotReached(message).into()),
            None => tokio::time::sleep(LOOK).await,
        }
    }
    bail!(Failure::NotReached(
        "the operator took the request, but published no Event about it within 10 s".to_owned()
    ))
}

/// The annotation's value: a pod's name, or `any`.
fn standby(environment: &Environment, asked: Option<&str>) -> Result<String> {
    let Some(asked) = asked else {
        return Ok("any".to_owned());
    };
    let prefix = format!("{}-postgres-", environment.name());
    let number = asked.strip_prefix(&prefix).unwrap_or(asked);
    let database = &environment.status.database;
    let known = number
        .parse::<i64>()
        .is_ok_and(|number| (0..database.instances).contains(&number));
    let pod = format!("{prefix}{number}");
    ensure!(
        known,
        "{} has no instance {asked}; it has {prefix}0 to {prefix}{}",
        environment.key(),
        database.instances - 1
    );
    ensure!(
        database.primary.as_deref() != Some(pod.as_str()),
        "{pod} is the primary already"
    );
    Ok(pod)
}

pub async fn restart(arguments: &Restart) -> Result<()> {
    let cluster = Cluster::connect(&arguments.one.target).await?;
    let name = &arguments.one.name;
    let environment = cluster.environment(name).await?;
    ensure!(
        !matches!(environment.phase(), "Asleep" | "Suspended"),
        "{} has no pods that could be restarted: it is {}",
        environment.key(),
        environment.phase()
    );
    let (part, wanted) = match arguments.part {
        Restarted::Api => {
            let made = replace_pods(&cluster, cluster.api::<Deployment>(), &format!("{name}-api")).await?;
            ("API", made.metadata.generation)
        }
        Restarted::Database => {
            let made = replace_pods(
                &cluster,
                cluster.api::<StatefulSet>(),
                &format!("{name}-postgres"),
            )
            .await?;
            ("database", made.metadata.generation)
        }
    };
    if arguments.wait.wait {
        wait_for_pods(&cluster, name, arguments, wanted).await?;
        return canvas::write(&format!("{}: the {part}'s pods are new\n", environment.key()));
    }
    canvas::write(&format!(
        "{}: the {part}'s pods are being replaced; `kubectl renv status {name} -w` shows how far it is\n",
        environment.key()
    ))
}

/// Gives the template a mark of its own, which the operator leaves alone.
async fn replace_pods<K>(cluster: &Cluster, objects: Api<K>, name: &str) -> Result<K>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mark = json!({"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: Timestamp::now().to_string()}}}}});
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patched = objects.patch(name, &parameters, &Patch::Strategic(mark)).await;
    patched.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 404 => Failure::Missing(format!(
            "{name} was not made yet, so there are no pods to restart"
        ))
        .into(),
        error => cluster.explain(error, &format!("restart {name}")),
    })
}

/// Waits until all pods are of the template.
async fn wait_for_pods(
    cluster: &Cluster,
    name: &str,
    arguments: &Restart,
    wanted: Option<i64>,
) -> Result<()> {
    let deadline = tokio::time::Instant::now() + arguments.wait.timeout;
    loop {
        let (current, all, seen) = match arguments.part {
            Restarted::Api => {
                let object = cluster.api::<Deployment>().get(&format!("{name}-api")).await;
                let status = object.map(|object| object.status.unwrap_or_default());
                let status = status.map_err(|error| cluster.explain(error, "read the Deployment"))?;
                let updated = status
                    .updated_replicas
                    .unwrap_or(0)
                    .min(status.available_replicas.unwrap_or(0));
                (updated, status.replicas.unwrap_or(0), status.observed_generation)
            }
            Restarted::Database => {
                let object = cluster
                    .api::<StatefulSet>()
                    .get(&format!("{name}-postgres"))
                    .await;
                let status = object.map(|object| object.status.unwrap_or_default());
                let status = status.map_err(|error| cluster.explain(error, "read the StatefulSet"))?;
                let updated = status
                    .updated_replicas
                    .unwrap_or(0)
                    .min(status.ready_replicas.unwrap_or(0));
                (updated, status.replicas, status.observed_generation)
            }
        };
        if seen >= wanted && all > 0 && current >= all {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            bail!(Failure::NotReached(format!(
                "{current} of {all} pods are new and ready after {} s; `kubectl renv status {name}` says why",
                arguments.wait.timeout.as_secs()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub async fn rotate(arguments: &Rotate) -> Result<()> {
    let cluster = Cluster::connect(&arguments.target).await?;
    let name = &arguments.name;
    let (annotation, what) = match arguments.what {
        Rotated::Password => (ROTATE_PASSWORD, "password"),
        Rotated::IngestToken => (ROTATE_INGEST_TOKEN, "ingest token"),
        Rotated::ReplicationPassword => (ROTATE_REPLICATION_PASSWORD, "replication password"),
    };
    ensure!(
        !(arguments.wait.wait && arguments.what == Rotated::ReplicationPassword),
        "nothing tells when the standbys have the new replication password; it is within seconds. Leave --wait out"
    );
    let login = if arguments.wait.wait && arguments.what == Rotated::Password {
        secret_annotation(&cluster, &format!("{name}-postgres"), LOGIN).await?
    } else {
        None
    };
    let asked = Timestamp::now().to_string();
    let environment = annotate::set(&cluster, name, annotation, &asked).await?;
    if arguments.wait.wait {
        wait_for_rotation(&cluster, arguments, &asked, login.as_deref()).await?;
        return canvas::write(&format!("{}: the {what} is a new one\n", environment.key()));
    }
    canvas::write(&format!(
        "{}: another {what} is asked for; `kubectl renv status {name} -w` shows how far it is\n",
        environment.key()
    ))
}

/// Waits until the Secret says that it has the new value, and nothing is under way any more.
async fn wait_for_rotation(
    cluster: &Cluster,
    arguments: &Rotate,
    asked: &str,
    login: Option<&str>,
) -> Result<()> {
    let name = &arguments.name;
    let deadline = tokio::time::Instant::now() + arguments.wait.timeout;
    loop {
        let done = match arguments.what {
            Rotated::IngestToken => {
                let rotated =
                    secret_annotation(cluster, &format!("{name}-api"), ROTATED_INGEST_TOKEN).await?;
                rotated.as_deref() == Some(asked)
            }
            Rotated::Password | Rotated::ReplicationPassword => {
                let now = secret_annotation(cluster, &format!("{name}-postgres"), LOGIN).await?;
                let environment = cluster.environment(name).await?;
                now.as_deref() != login && environment.status.database.rotation.is_none()
            }
        };
        if done {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            bail!(Failure::NotReached(format!(
                "it is not replaced after {} s; `kubectl renv status {name}` says how far it is",
                arguments.wait.timeout.as_secs()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// An annotation of a Secret. Its values are not read.
async fn secret_annotation(cluster: &Cluster, name: &str, annotation: &str) -> Result<Option<String>> {
    let secret = cluster.api::<Secret>().get_metadata_opt(name).await;
    let secret =
        secret.map_err(|error| cluster.explain(error, &format!("read the metadata of Secret {name}")))?;
    Ok(secret.and_then(|secret| secret.metadata.annotations?.remove(annotation)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_named_by_its_number_or_its_pod() {
        let environment = Environment::new(
            serde_json::from_value(json!({
                "metadata": {"name": "x", "namespace": "n"},
                "status": {"database": {"instances": 3, "primary": "x-postgres-1"}},
            }))
            .unwrap(),
        );
        let named = |asked| standby(&environment, asked).map_err(|error| error.to_string());
        assert_eq!(named(None), Ok("any".to_owned()));
        assert_eq!(named(Some("2")), Ok("x-postgres-2".to_owned()));
        assert_eq!(named(Some("x-postgres-0")), Ok("x-postgres-0".to_owned()));
        assert!(named(Some("1")).unwrap_err().contains("is the primary already"));
        assert!(
            named(Some("3"))
                .unwrap_err()
                .contains("x-postgres-0 to x-postgres-2")
        );
        assert!(named(Some("y-postgres-0")).is_err());
    }
}
