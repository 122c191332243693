//! What was made once and is no longer wanted. Claims are never among it: they hold data.

use std::collections::BTreeSet;

use kube::{Resource, ResourceExt};

use super::error::Error;
use super::writer::Writer;
use crate::annotations::APPLIED;
use crate::build::Children;
use crate::cache::Cached;
use crate::identity::Ownership;
use crate::observed::{Observed, Optional};

/// The names that are wanted, by kind.
pub struct Wanted(BTreeSet<(String, String)>);

impl Wanted {
    /// Claims, Secrets and Jobs are not asked for: other rules decide about them.
    pub fn of(children: &Children) -> Self {
        let Children {
            app_secret: _,
            admin_secret: _,
            migrator_secret: _,
            token_secret: _,
            copy_secret: _,
            claims: _,
            seed_job: _,
            migrate_job: _,
            patroni_state,
            service_accounts,
            role,
            role_binding,
            network_policies,
            services,
            endpoint_slices,
            stateful_set,
            deployments,
            autoscalers,
            disruption_budgets,
            ingress,
            route,
            pod_monitors,
        } = children;
        let mut wanted = Self(BTreeSet::new());
        wanted.add(patroni_state);
        wanted.add(service_accounts);
        wanted.add([role]);
        wanted.add([role_binding]);
        wanted.add(network_policies);
        wanted.add(services);
        wanted.add(endpoint_slices);
        wanted.add([stateful_set]);
        wanted.add(deployments.iter().map(|child| &child.deployment));
        wanted.add(autoscalers);
        wanted.add(disruption_budgets);
        wanted.add(ingress);
        wanted.add(route);
        wanted.add(pod_monitors);
        wanted
    }

    fn add<'a, K: Resource<DynamicType = ()> + 'a>(&mut self, children: impl IntoIterator<Item = &'a K>) {
        let names = children.into_iter().map(ResourceExt::name_any);
        self.0.extend(names.map(|name| (K::kind(&()).into_owned(), name)));
    }

    fn has<K: Resource<DynamicType = ()>>(&self, object: &K) -> bool {
        self.0.contains(&(K::kind(&()).into_owned(), object.name_any()))
    }
}

impl Writer<'_> {
    pub(super) async fn remove_orphans(&self, wanted: &Wanted, observed: &Observed) -> Result<(), Error> {
        if let Optional::Found(routes) = &observed.routes {
            self.remove_unless(wanted, routes).await?;
        }
        if let Optional::Found(pod_monitors) = &observed.pod_monitors {
            self.remove_unless(wanted, pod_monitors).await?;
        }
        self.remove_unless(wanted, &observed.ingresses).await?;
        self.remove_unless(wanted, &observed.autoscalers).await?;
        self.remove_unless(wanted, &observed.deployments).await?;
        self.remove_unless(wanted, &observed.disruption_budgets).await?;
        self.remove_unless(wanted, &observed.stateful_sets).await?;
        self.remove_unless(wanted, &observed.endpoint_slices).await?;
        self.remove_unless(wanted, &observed.services).await?;
        self.remove_unless(wanted, &observed.network_policies).await?;
        self.remove_unless(wanted, &observed.role_bindings).await?;
        self.remove_unless(wanted, &observed.roles).await?;
        self.remove_unless(wanted, &observed.service_accounts).await?;
        self.remove_unless(wanted, &observed.config_maps).await
    }

    async fn remove_unless<K: Cached>(&self, wanted: &Wanted, existing: &[K]) -> Result<(), Error> {
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
        match self.identity.ownership(object.meta()) {
            Ownership::Ours => true,
            Ownership::Retained => object
                .meta()
                .annotations
                .iter()
                .flatten()
                .any(|(key, _)| key == APPLIED),
            Ownership::Leaving | Ownership::Foreign => false,
        }
    }
}
