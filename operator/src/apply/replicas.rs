//! The number of API pods, which belongs to the autoscaler where there is one.
//!
//! Whoever alone owned a field and no longer applies it makes the API server reset it, here to
//! one pod. So before the operator lets go of it, a second field manager takes it over at its
//! current value.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use serde_json::json;

use super::error::Error;
use super::writer::{Writer, named};
use crate::managed_fields::applies;
use crate::observed::Observed;
use crate::plan::{Autoscaler, Scale};

/// The field manager that holds the number for the autoscaler.
const KEEPER: &str = "rates-operator-replicas";

impl Writer<'_> {
    pub(super) async fn deployment(
        &self,
        mut desired: Deployment,
        scale: &Scale,
        observed: &Observed,
    ) -> Result<Deployment, Error> {
        let existing = named(&observed.deployments, &desired.name_any());
        let has_turn = self.has_turn(&mut desired, existing)?;
        if let Some(existing) = existing.filter(|_| !has_turn) {
            return Ok(existing.clone());
        }
        let Scale::Automatic(Autoscaler { min, .. }) = scale else {
            return self.ensure(desired, existing).await;
        };
        let Some(existing) = existing else {
            let created = self.ensure(with_replicas(&desired, *min), None).await?;
            let kept = self.keep(&created).await?;
            return self.ensure(desired, Some(&kept)).await;
        };
        self.check(existing)?;
        // Resumed, or scaled by somebody: an autoscaler leaves alone what is at zero.
        if existing.spec.as_ref().and_then(|spec| spec.replicas) == Some(0) {
            let woken = self.ensure(with_replicas(&desired, *min), Some(existing)).await?;
            let kept = self.keep(&woken).await?;
            return self.ensure(desired, Some(&kept)).await;
        }
        if applies(&existing.metadata, &["f:spec", "f:replicas"]) {
            let kept = self.keep(existing).await?;
            return self.ensure(desired, Some(&kept)).await;
        }
        self.ensure(desired, Some(existing)).await
    }

    /// Takes the number over as it is.
    async fn keep(&self, deployment: &Deployment) -> Result<Deployment, Error> {
        let name = deployment.name_any();
        let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        let number = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "uid": deployment.uid()},
            "spec": {"replicas": replicas},
        });
        self.patch(KEEPER, &name, &number).await
    }
}

fn with_replicas(deployment: &Deployment, replicas: i32) -> Deployment {
    let mut deployment = deployment.clone();
    if let Some(spec) = &mut deployment.spec {
        spec.replicas = Some(replicas);
    }
    deployment
}
