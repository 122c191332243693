//! Waiting until nothing is left of an environment.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::parts;
use crate::watched::{Look, until};

/// How often it is looked for what is left.
const AGAIN: Duration = Duration::from_millis(500);

/// Waits until the object is gone, and then its pods and its volumes, but for those that are kept.
pub async fn wait_gone(cluster: &Cluster, name: &str, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    until(cluster, name, ("gone", patience), |environment| {
        if environment.is_none() {
            Look::Holds
        } else {
            Look::NotYet
        }
    })
    .await?;
    loop {
        let pods = parts::list::<Pod>(cluster, name).await;
        let pods = pods.map_err(|error| cluster.explain(error, "list pods"))?;
        let claims = parts::list::<PersistentVolumeClaim>(cluster, name).await;
        let claims = claims.map_err(|error| cluster.explain(error, "list persistentvolumeclaims"))?;
        // One without an owner is kept, as storage.retain says.
        let claims = claims.iter().filter(|claim| !claim.owner_references().is_empty());
        let left: Vec<String> = pods
            .iter()
            .map(kube::ResourceExt::name_any)
            .chain(claims.map(kube::ResourceExt::name_any))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::NotReached(format!(
                "{} is deleted, but after {} s there still is: {}",
                cluster.key(name),
                patience.as_secs(),
                left.join(", ")
            ))
            .into());
        }
        tokio::time::sleep(AGAIN).await;
    }
}
