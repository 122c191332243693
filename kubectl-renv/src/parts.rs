//! The objects that the operator made for an environment, by their labels.

use anyhow::Result;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::cluster::Cluster;

/// The part of an environment that an object is of: postgres, api, seed or migrate.
pub const COMPONENT: &str = "app.kubernetes.io/component";

/// Of a database pod: primary or replica, which Patroni writes.
pub const ROLE: &str = "rates.internal/role";

/// The containers that do what a pod is for.
pub const POSTGRES: &str = "postgres";

/// The label selector of everything that was made for an environment.
#[must_use]
pub fn selector(name: &str) -> String {
    format!("app.kubernetes.io/name=rates,app.kubernetes.io/instance={name}")
}

/// What tells most of how an environment is.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub pods: Vec<Pod>,
    pub claims: Vec<PersistentVolumeClaim>,
    pub jobs: Vec<Job>,
    /// Those in which Patroni keeps its state among them.
    pub config_maps: Vec<ConfigMap>,
    pub events: Vec<Event>,
    /// What this user may not read.
    pub unread: Vec<&'static str>,
}

impl Parts {
    pub async fn of(cluster: &Cluster, name: &str) -> Result<Self> {
        let (pods, claims, jobs, config_maps, events) = tokio::join!(
            list::<Pod>(cluster, name),
            list::<PersistentVolumeClaim>(cluster, name),
            list::<Job>(cluster, name),
            list::<ConfigMap>(cluster, name),
            events(cluster, name),
        );
        let mut unread = Vec::new();
        Ok(Self {
            pods: readable(pods, "pods", &mut unread, cluster)?,
            claims: readable(claims, "persistentvolumeclaims", &mut unread, cluster)?,
            jobs: readable(jobs, "jobs", &mut unread, cluster)?,
            config_maps: readable(config_maps, "configmaps", &mut unread, cluster)?,
            events: readable(events, "events", &mut unread, cluster)?,
            unread,
        })
    }

    /// The pods of one part, by name.
    pub fn pods_of(&self, component: &str) -> impl Iterator<Item = &Pod> {
        self.pods
            .iter()
            .filter(move |pod| component_of(*pod) == component)
    }

    /// The database's primary, by Patroni's label.
    #[must_use]
    pub fn primary(&self) -> Option<&Pod> {
        self.pods_of(POSTGRES)
            .find(|pod| pod.labels().get(ROLE).is_some_and(|role| role == "primary"))
    }
}

/// The part that an object is of.
pub fn component_of<K: Resource>(object: &K) -> &str {
    object.labels().get(COMPONENT).map_or("", String::as_str)
}

/// Everything of a kind that was made for an environment, by name.
pub async fn list<K>(cluster: &Cluster, name: &str) -> kube::Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let parameters = ListParams::default().labels(&selector(name));
    let mut found = cluster.api::<K>().list(&parameters).await?.items;
    found.sort_by_key(kube::ResourceExt::name_any);
    Ok(found)
}

/// The Events of an environment and of what it has, the newest last.
async fn events(cluster: &Cluster, name: &str) -> kube::Result<Vec<Event>> {
    let all = cluster.api::<Event>().list(&ListParams::default()).await?;
    let children = format!("{name}-");
    let belongs = |event: &Event| {
        let about = &event.involved_object;
        let of = about.name.as_deref().unwrap_or_default();
        if about.kind.as_deref() == Some("RatesEnvironment") {
            return of == name;
        }
        let of = of.strip_prefix("data-").unwrap_or(of);
        // Another environment's name may begin with this one's.
        of.strip_prefix(&children).is_some_and(|rest| {
            ["postgres", "api", "seed-", "migrate-", "copy", "jobs", "deliver"]
                .iter()
                .any(|part| rest.starts_with(part))
        })
    };
    let mut events: Vec<Event> = all.items.into_iter().filter(belongs).collect();
    events.sort_by_key(last_seen);
    Ok(events)
}

/// When an Event was last seen.
#[must_use]
pub fn last_seen(event: &Event) -> Option<jiff::Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    series
        .map(|time| time.0)
        .or_else(|| event.last_timestamp.as_ref().map(|time| time.0))
        .or_else(|| event.event_time.as_ref().map(|time| time.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// What may not be read is named and not missed; any other error ends the command.
fn readable<T>(
    found: kube::Result<Vec<T>>,
    kind: &'static str,
    unread: &mut Vec<&'static str>,
    cluster: &Cluster,
) -> Result<Vec<T>> {
    match found {
        Err(kube::Error::Api(status)) if status.code == 403 => {
            unread.push(kind);
            Ok(Vec::new())
        }
        found => found.map_err(|error| cluster.explain(error, &format!("list {kind}"))),
    }
}
