//! `kubectl renv sleep`, `wake` and `extend`.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::annotate::{self, SLEEP, WAKE};
use crate::canvas;
use crate::cluster::{Cluster, MANAGER};
use crate::duration::{self, print};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::flags::{One, Wait};
use crate::watched::{Look, until};

#[derive(Args, Clone, Debug)]
pub struct Sleeping {
    #[command(flatten)]
    pub one: One,

    #[command(flatten)]
    pub wait: Wait,
}

#[derive(Args, Clone, Debug)]
pub struct Extend {
    /// The environment's name
    pub name: String,

    /// How much longer it lives, such as 24h
    #[arg(value_name = "DURATION", value_parser = duration::parse, required_unless_present = "until")]
    pub by: Option<Duration>,

    /// When it ends instead, such as 2026-05-01T18:00:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "by")]
    pub until: Option<Timestamp>,

    #[command(flatten)]
    pub target: crate::flags::Target,
}

pub async fn sleep(arguments: &Sleeping) -> Result<()> {
    let cluster = Cluster::connect(&arguments.one.target).await?;
    let name = &arguments.one.name;
    let before = cluster.environment(name).await?;
    if before.phase() == "Asleep" {
        return canvas::write(&format!("{} sleeps already\n", before.key()));
    }
    ensure!(
        !before.spec.suspend,
        "{} is suspended, which is more than asleep: spec.suspend starts it",
        before.key()
    );
    annotate::set(&cluster, name, SLEEP, &Timestamp::now().to_string()).await?;
    if arguments.wait.wait {
        wait_for_phase(&cluster, name, "Asleep", arguments.wait.timeout, SLEEP).await?;
        return canvas::write(&format!("{} sleeps; its data are kept\n", before.key()));
    }
    canvas::write(&format!(
        "{} is told to sleep; `kubectl renv status {name} -w` shows how far it is\n",
        before.key()
    ))
}

pub async fn wake(arguments: &Sleeping) -> Result<()> {
    let cluster = Cluster::connect(&arguments.one.target).await?;
    let name = &arguments.one.name;
    let before = cluster.environment(name).await?;
    ensure!(
        !before.spec.suspend,
        "{0} is suspended, not asleep: kubectl patch renv/{name} -n {1} --type=merge -p '{{\"spec\":{{\"suspend\":false}}}}'",
        before.key(),
        cluster.namespace,
    );
    if before.is_ready() {
        return canvas::write(&format!("{} is awake\n", before.key()));
    }
    annotate::set(&cluster, name, WAKE, &Timestamp::now().to_string()).await?;
    if arguments.wait.wait {
        wait_for_phase(&cluster, name, "Ready", arguments.wait.timeout, WAKE).await?;
        return canvas::write(&format!("{} is Ready\n", before.key()));
    }
    canvas::write(&format!(
        "{} is told to wake; `kubectl renv status {name} -w` shows how far it is\n",
        before.key()
    ))
}

/// Waits for a phase, once the operator has taken the annotation away.
async fn wait_for_phase(
    cluster: &Cluster,
    name: &str,
    phase: &str,
    patience: Duration,
    annotation: &str,
) -> Result<()> {
    until(
        cluster,
        name,
        (phase, patience),
        |environment| match environment {
            None => Look::Never(format!("{} does not exist any more", cluster.key(name))),
            Some(environment)
                if environment.annotation(annotation).is_none() && environment.phase() == phase =>
            {
                Look::Holds
            }
            Some(_) => Look::NotYet,
        },
    )
    .await
    .map(drop)
}

pub async fn extend(arguments: &Extend) -> Result<()> {
    let cluster = Cluster::connect(&arguments.target).await?;
    let name = &arguments.name;
    let environment = cluster.environment(name).await?;
    let Some(ttl) = environment.spec.lifetime.ttl.clone() else {
        bail!(
            "{} has no end that could be later: it has no spec.lifetime.ttl",
            environment.key()
        );
    };
    let longer = longer(&environment, &ttl, arguments.by, arguments.until)?;
    // Whoever extends it at the same time must not be undone.
    let change = serde_json::from_value(json!([
        {"op": "test", "path": "/spec/lifetime/ttl", "value": ttl},
        {"op": "replace", "path": "/spec/lifetime/ttl", "value": print(longer)},
    ]))
    .context("cannot write the change")?;
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patched = cluster
        .environments()
        .patch(name, &parameters, &Patch::<()>::Json(change))
        .await;
    match patched {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {
            return Err(Failure::Missing(format!("{} has just ended", environment.key())).into());
        }
        Err(error) => return Err(cluster.explain(error, &format!("extend environment {name}"))),
    }
    let end = end(&environment, longer).map_or_else(String::new, |end| format!(", ends at {end:.0}"));
    canvas::write(&format!(
        "{}: spec.lifetime.ttl is {} (was {ttl}){end}\n",
        environment.key(),
        print(longer)
    ))
}

/// When an environment with this ttl ends: it counts from the creation.
fn end(environment: &Environment, ttl: Duration) -> Option<Timestamp> {
    let ttl = SignedDuration::try_from(ttl).ok()?;
    environment.created()?.checked_add(ttl).ok()
}

/// The ttl that ends it so much later, or at that moment.
fn longer(
    environment: &Environment,
    ttl: &str,
    by: Option<Duration>,
    until: Option<Timestamp>,
) -> Result<Duration> {
    let now = duration::parse(ttl).map_err(anyhow::Error::msg)?;
    let Some(until) = until else {
        return now
            .checked_add(by.unwrap_or_default())
            .context("that is too long");
    };
    let created = environment
        .created()
        .context("the object has no creationTimestamp")?;
    let whole = until.duration_since(created);
    // A part of a second more than was asked for, rather than less.
    let seconds = whole.as_secs() + i64::from(whole.subsec_nanos() > 0);
    ensure!(
        until > Timestamp::now(),
        "--until {until} has passed: the environment would end at once. `kubectl delete renv/{}` says so more clearly",
        environment.name()
    );
    Ok(Duration::from_secs(u64::try_from(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment::new(
            serde_json::from_value(json!({
                "metadata": {"name": "x", "namespace": "n", "creationTimestamp": "2090-01-01T00:00:00Z"},
            }))
            .unwrap(),
        )
    }

    #[test]
    fn an_extension_is_counted_from_the_end_that_there_was() {
        let day = Some(Duration::from_hours(24));
        assert_eq!(print(longer(&environment(), "72h", day, None).unwrap()), "96h");
        let until = Some("2090-01-02T06:30:00Z".parse().unwrap());
        assert_eq!(
            print(longer(&environment(), "72h", None, until).unwrap()),
            "30h30m"
        );
        let past = Some("2020-01-02T06:30:00Z".parse().unwrap());
        let refused = longer(&environment(), "72h", None, past).unwrap_err().to_string();
        assert!(refused.contains("has passed"), "{refused}");
        assert_eq!(
            end(&environment(), Duration::from_hours(24)).unwrap().to_string(),
            "2090-01-02T00:00:00Z"
        );
    }
}
