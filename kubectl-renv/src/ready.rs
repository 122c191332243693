//! Waiting until an environment is Ready.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cluster::Cluster;
use crate::environment::Environment;
use crate::watched::{Look, until};

/// Waits until it is Ready as its last change says. What fails may pass, as a pull that is tried again: it is told, and
/// waited for.
pub async fn wait_ready(cluster: &Cluster, name: &str, patience: Duration) -> Result<Environment> {
    let ready = until(
        cluster,
        name,
        ("Ready", patience),
        |environment| match environment {
            Some(environment) if environment.is_ready() => Look::Holds,
            Some(environment) if environment.object.metadata.deletion_timestamp.is_some() => {
                Look::Never(format!("{} is being deleted", environment.key()))
            }
            Some(_) => Look::NotYet,
            None => Look::Never(format!("{} does not exist any more", cluster.key(name))),
        },
    )
    .await?;
    ready.context("it was seen")
}
