//! What was made once and is no longer wanted. Claims are never among it: they hold data.

use std::collections::BTreeSet;

use kube::{Resource, ResourceExt};

use super::error::Error;
use super::writer::Writer;
use crate::annotations::APPLIED;
use crate::build::Children;
use crate::identity::Claim;
use crate::observed::{Observed, Routes};
use crate::store::Held;

/// The names that are wanted, by kind.
pub struct Wanted(BTreeSet<(String, String)>);

impl Wanted {
    /// Claims, Secrets and Jobs are not asked for: other rules decide about them.
    pub fn of(children: &Children) -> Self {
        let mut wanted = Self(BTreeSet::new());
        children.patroni_state.iter().for_each(|child| wanted.add(child));
        children.services.iter().for_each(|child| wanted.add(child));
        children
            .service_accounts
            .iter()
            .for_each(|child| wanted.add(child));
        children
            .network_policies
            .iter()
            .for_each(|child| wanted.add(child));
        wanted.add(&children.role);
        wanted.add(&children.role_binding);
        wanted.add(&children.stateful_set);
        wanted.add(&children.disruption_budget);
        children.ingress.iter().for_each(|child| wanted.add(child));
        children.route.iter().for_each(|child| wanted.add(child));
        children.deployment.iter().for_each(|child| wanted.add(child));
        children.autoscaler.iter().for_each(|child| wanted.add(child));
        wanted
    }

    fn add<K: Resource<DynamicType = ()>>(&mut self, child: &K) {
        self.0.insert((K::kind(&()).into_owned(), child.name_any()));
    }

    fn has<K: Resource<DynamicType = ()>>(&self, object: &K) -> bool {
        self.0.contains(&(K::kind(&()).into_owned(), object.name_any()))
    }
}

impl Writer<'_> {
    pub(super) async fn remove_orphans(&self, wanted: &Wanted, observed: &Observed) -> Result<(), Error> {
        if let Routes::Found(routes) = &observed.routes {
            self.remove_unless(wanted, routes).await?;
        }
        self.remove_unless(wanted, &observed.ingresses).await?;
        self.remove_unless(wanted, &observed.autoscalers).await?;
        self.remove_unless(wanted, &observed.deployments).await?;
        self.remove_unless(wanted, &observed.disruption_budgets).await?;
        self.remove_unless(wanted, &observed.stateful_sets).await?;
        self.remove_unless(wanted, &observed.services).await?;
        self.remove_unless(wanted, &observed.network_policies).await?;
        self.remove_unless(wanted, &observed.role_bindings).await?;
        self.remove_unless(wanted, &observed.roles).await?;
        self.remove_unless(wanted, &observed.service_accounts).await?;
        self.remove_unless(wanted, &observed.config_maps).await
    }

    async fn remove_unless<K: Held>(&self, wanted: &Wanted, existing: &[K]) -> Result<(), Error> {
        for object in existing {
            if !self.is_of_environment(object) || wanted.has(object) {
                continue;
            }
            self.delete(object).await?;
        }
        Ok(())
    }

    /// Whether an object that holds no data is of this environment, or of one of its name that was
    /// deleted without its children (`kubectl delete --cascade=orphan`).
    pub(super) fn is_of_environment<K: Resource>(&self, object: &K) -> bool {
        match self.identity.claim_on(object.meta()) {
            Claim::Ours => true,
            Claim::Retained => object
                .meta()
                .annotations
                .iter()
                .flatten()
                .any(|(key, _)| key == APPLIED),
            Claim::Leaving | Claim::Foreign => false,
        }
    }
}
